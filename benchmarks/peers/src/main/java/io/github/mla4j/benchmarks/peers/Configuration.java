package io.github.mla4j.benchmarks.peers;

import java.nio.file.Path;
import java.util.List;

/**
 * One way that a peer is run: what has a row of its own.
 *
 * @param converted whether the model is the conversion
 * @param model file or folder
 * @param cache the cache's type, as the peer calls it
 * @param flags as {@link Job#flags}
 */
record Configuration(Peer peer, boolean converted, Path model, String cache, List<String> flags) {

  /** The cache's type with what else was chosen: {@code q8_0 flash}. */
  String choice() {
    return String.join(" ", cache, String.join(" ", flags)).strip();
  }

  String label() {
    return peer.id() + (converted ? " conversion " : " ") + choice();
  }
}
