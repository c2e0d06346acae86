package io.github.mla4j.benchmarks.peers;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** An engine that is measured. */
enum Peer {
  MLA4J("mla4j", Family.MLA4J),
  /** Compiled on this machine for this machine. */
  LLAMA_CPP("llama.cpp", Family.LLAMA_CPP),
  NODE_LLAMA_CPP("node-llama-cpp", Family.LLAMA_CPP),
  JAVA_LLAMA("java-llama.cpp", Family.LLAMA_CPP),
  IK_LLAMA_CPP("ik_llama.cpp", Family.OTHER),
  JLAMA("jlama", Family.OTHER);

  /** Whose kernels compute. */
  enum Family {
    MLA4J,
    LLAMA_CPP,
    OTHER
  }

  private final String id;
  private final Family family;

  Peer(String id, Family family) {
    this.id = id;
    this.family = family;
  }

  String id() {
    return id;
  }

  Family family() {
    return family;
  }

  static Optional<Peer> of(String id) {
    return Stream.of(values()).filter(peer -> peer.id.equals(id)).findFirst();
  }

  static String ids() {
    return Stream.of(values()).map(Peer::id).collect(Collectors.joining(", "));
  }

  /** Every way that this peer is run; llama.cpp needs flash attention for quantized values. */
  List<Configuration> configurations(Models models) {
    List<Configuration> all = new ArrayList<>();
    switch (this) {
      case MLA4J -> {
        for (String cache : List.of("f16", "int8", "int4")) {
          all.add(new Configuration(this, false, models.source(), cache, List.of()));
        }
        models
            .converted()
            .ifPresent(
                file -> {
                  for (String cache : List.of("f16", "int4", "int2")) {
                    all.add(new Configuration(this, true, file, cache, List.of()));
                  }
                });
      }
      case LLAMA_CPP, NODE_LLAMA_CPP, JAVA_LLAMA, IK_LLAMA_CPP -> {
        all.add(new Configuration(this, false, models.source(), "f16", List.of()));
        for (String cache : List.of("f16", "q8_0", "q4_0")) {
          all.add(new Configuration(this, false, models.source(), cache, List.of("flash")));
        }
      }
      case JLAMA -> all.add(new Configuration(this, false, models.folder(), "f32", List.of()));
    }
    return all;
  }
}
