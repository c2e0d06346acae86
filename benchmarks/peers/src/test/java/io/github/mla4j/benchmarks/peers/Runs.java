package io.github.mla4j.benchmarks.peers;

import io.github.mla4j.eval.Machine;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Comparisons that never ran. */
final class Runs {
  static final Models MODELS =
      new Models(Path.of("m.gguf"), Optional.of(Path.of("c.gguf")), Path.of("hf"));
  private static final Machine MACHINE = new Machine("a processor", 2, "avx2", "Linux", "17", "0");

  private Runs() {}

  static Run empty(StepPlan plan, Peer... peers) {
    List<Configuration> all = new ArrayList<>();
    for (Peer peer : peers) {
      all.addAll(peer.configurations(MODELS));
    }
    return Run.begin("run m.gguf", "abc", MACHINE, 2, plan, MODELS, all);
  }

  /** The configuration that a label names. */
  static Configuration find(Run run, String label) {
    return run.configurations().stream()
        .filter(one -> one.label().equals(label))
        .findFirst()
        .orElseThrow(() -> new AssertionError(label + " is none of " + labels(run)));
  }

  static void add(Run run, String label, String test, double... speeds) {
    for (double speed : speeds) {
      run.results().add(find(run, label), test, speed);
    }
  }

  static List<String> labels(Run run) {
    return run.configurations().stream().map(Configuration::label).toList();
  }
}
