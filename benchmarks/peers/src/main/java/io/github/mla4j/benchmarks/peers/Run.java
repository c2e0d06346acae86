package io.github.mla4j.benchmarks.peers;

import io.github.mla4j.eval.Machine;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;

/**
 * All that is known of one comparison, growing from round to round.
 *
 * @param command as it can be typed again
 * @param commit of this checkout
 * @param absent peers that could not be had, and why
 * @param failures configurations that failed, and why
 * @param engines peers as they call themselves
 * @param loads of the machine before every round: processes that wanted to run
 */
record Run(
    String command,
    String commit,
    Machine machine,
    int threads,
    StepPlan plan,
    Models models,
    List<Configuration> configurations,
    Results results,
    Map<Peer, String> absent,
    Map<Configuration, String> failures,
    Map<Peer, Engine> engines,
    List<Double> loads) {

  /** What a peer says of itself. */
  record Engine(String name, String build) {
    private static final Pattern ON = Pattern.compile("(\\w+) = 1");

    /** How it was built; of llama.cpp's list of instruction sets those that are in use. */
    String features() {
      List<String> on = ON.matcher(build).results().map(found -> found.group(1)).toList();
      return on.isEmpty() ? build : String.join(", ", on);
    }
  }

  static Run begin(
      String command,
      String commit,
      Machine machine,
      int threads,
      StepPlan plan,
      Models models,
      List<Configuration> configurations) {
    return new Run(
        command,
        commit,
        machine,
        threads,
        plan,
        models,
        configurations,
        new Results(configurations),
        new EnumMap<>(Peer.class),
        new LinkedHashMap<>(),
        new EnumMap<>(Peer.class),
        new ArrayList<>());
  }
}
