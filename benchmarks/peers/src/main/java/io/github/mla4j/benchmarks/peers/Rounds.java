package io.github.mla4j.benchmarks.peers;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/**
 * Runs every configuration once a round, in turn, and every other round in the opposite order: what
 * disturbs the machine for a while disturbs all alike.
 */
final class Rounds {
  private final PeerProcess process;
  private final StepPlan plan;
  private final int threads;
  private final TokenText text;
  private final Path logs;
  private final Consumer<String> progress;
  private final Run run;

  Rounds(
      PeerProcess process,
      StepPlan plan,
      int threads,
      TokenText text,
      Path logs,
      Run run,
      Consumer<String> progress) {
    this.process = process;
    this.plan = plan;
    this.threads = threads;
    this.text = text;
    this.logs = logs;
    this.run = run;
    this.progress = progress;
  }

  /** The configurations, in the order of one round, counted from 0. */
  static List<Configuration> order(List<Configuration> all, int round) {
    List<Configuration> order = new ArrayList<>(all);
    if (round % 2 == 1) {
      Collections.reverse(order);
    }
    return order;
  }

  /** One that failed is not tried again. */
  void round(int round, Map<Peer, Launch> launches) throws IOException {
    run.loads().add(load());
    for (Configuration one : order(run.configurations(), round)) {
      Launch launch = launches.get(one.peer());
      if (launch != null && !run.failures().containsKey(one)) {
        measure(one, launch, "round %d, %s".formatted(round + 1, one.label()));
      }
    }
  }

  private void measure(Configuration one, Launch launch, String title) throws IOException {
    Map<String, Double> speeds = new LinkedHashMap<>();
    PeerProcess.Listener listener =
        new PeerProcess.Listener() {
          @Override
          public void engine(String name, String build) {
            run.engines().put(one.peer(), new Run.Engine(name, build.strip()));
          }

          @Override
          public void test(String test, double seconds) {
            speeds.put(test, plan.tokens(test) / seconds);
          }
        };
    long start = System.nanoTime();
    try {
      process.run(launch, job(one), logs.resolve(one.label().replace(' ', '-') + ".log"), listener);
      // Only whole runs count: what came before a failure may be its beginning.
      speeds.forEach((test, speed) -> run.results().add(one, test, speed));
      progress.accept(
          "%s: %s (%d s)"
              .formatted(title, told(speeds), (System.nanoTime() - start) / 1_000_000_000));
    } catch (AbsentException e) {
      run.failures().put(one, e.getMessage());
      progress.accept(title + " failed: " + e.getMessage());
    }
  }

  private Job job(Configuration one) {
    return new Job(
        one.model().toAbsolutePath().toString(),
        one.cache(),
        one.flags(),
        threads,
        plan.context(),
        text.tokens(),
        text.pieces(),
        plan.steps());
  }

  private static String told(Map<String, Double> speeds) {
    List<String> parts = new ArrayList<>();
    speeds.forEach((test, speed) -> parts.add("%s %.1f".formatted(test, speed)));
    return String.join(", ", parts);
  }

  /** Processes that wanted to run during the last minute, before this one begins. */
  private static double load() throws IOException {
    Path file = Path.of("/proc/loadavg");
    return Files.isReadable(file)
        ? Double.parseDouble(Files.readString(file).split(" ")[0])
        : Double.NaN;
  }
}
