package io.github.mla4j.benchmarks.peers;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** A comparison in words and tables of Markdown. */
final class Report {
  private final Run run;
  private final Results results;
  private final List<String> tests;
  private final StringBuilder page = new StringBuilder();

  private Report(Run run) {
    this.run = run;
    results = run.results();
    tests = run.plan().tests();
  }

  static String of(Run run) {
    Report report = new Report(run);
    report.head();
    report.goals();
    report.speeds();
    report.ratios();
    report.engines();
    report.absent();
    return report.page.toString();
  }

  private void head() {
    line("# mla4j and its peers");
    line("");
    line("    %s", run.command());
    line("");
    line(
        "%s, %d cores, %s, %d threads; %s; commit %s. Load before each round: %s.",
        run.machine().cpu(),
        run.machine().cores(),
        run.machine().os(),
        run.threads(),
        run.machine().java(),
        run.commit(),
        run.loads().stream().map(load -> format("%.1f", load)).collect(Collectors.joining(", ")));
    line("");
    line(
        "Model %s%s. Tokens per second, median of %d rounds ± the furthest of them; pp: a prompt of "
            + "so many tokens at once; tg @: %d tokens one at a time, after so many others.",
        run.models().source(),
        run.models().converted().map(file -> ", conversion " + file).orElse(""),
        run.loads().size(),
        run.plan().gen());
  }

  private void goals() {
    List<Goal.Outcome> outcomes = Goal.outcomes(results);
    if (outcomes.isEmpty()) {
      return;
    }
    heading("Goals: against the fastest build and flags of llama.cpp");
    row(List.of("what", "test", "mla4j", "llama.cpp", "which", "ratio", "goal", ""));
    rule(8);
    for (Goal.Outcome outcome : outcomes) {
      row(
          List.of(
              outcome.goal().what(),
              outcome.goal().test(),
              format("%.1f", outcome.ours().tokensPerSecond()),
              format("%.1f", outcome.theirs().tokensPerSecond()),
              outcome.theirs().configuration().label(),
              format("%.2f", outcome.ratio()),
              format("%.1f", outcome.goal().factor()),
              outcome.isMet() ? "met" : "missed"));
    }
  }

  private void speeds() {
    heading("Tokens per second");
    row(Stream.concat(Stream.of("engine", "model", "cache"), tests.stream()).toList());
    rule(3 + tests.size());
    for (Configuration one : results.measured()) {
      List<String> cells =
          new ArrayList<>(
              List.of(one.peer().id(), one.converted() ? "conversion" : "source", one.choice()));
      tests.forEach(test -> cells.add(results.spread(one, test).map(Spread::toString).orElse("")));
      row(cells);
    }
  }

  private void ratios() {
    List<Configuration> ours = measured(one -> one.peer() == Peer.MLA4J);
    List<Peer> theirs =
        measured(one -> one.peer() != Peer.MLA4J).stream()
            .map(Configuration::peer)
            .distinct()
            .toList();
    if (ours.isEmpty() || theirs.isEmpty()) {
      return;
    }
    heading("mla4j ÷ peer");
    line(
        "Of medians. f16 of the source against the peer's f16, with or without flash attention; all "
            + "else against the fastest of the peer's cache types. A peer without f16 is compared "
            + "with what it has.");
    line("");
    row(Stream.concat(Stream.of("mla4j", "peer", "its cache"), tests.stream()).toList());
    rule(3 + tests.size());
    for (Configuration one : ours) {
      for (Peer peer : theirs) {
        boolean sameType = !one.converted() && one.cache().equals("f16") && hasF16(peer);
        List<String> cells =
            new ArrayList<>(
                List.of(
                    (one.converted() ? "conversion " : "source ") + one.choice(),
                    peer.id(),
                    sameType ? "f16" : "fastest"));
        tests.forEach(test -> cells.add(ratio(one, peer, sameType, test)));
        row(cells);
      }
    }
  }

  private boolean hasF16(Peer peer) {
    return !measured(one -> one.peer() == peer && one.cache().equals("f16")).isEmpty();
  }

  private String ratio(Configuration ours, Peer peer, boolean sameType, String test) {
    Optional<Results.Best> theirs =
        results.fastest(
            one -> one.peer() == peer && (!sameType || one.cache().equals("f16")), test);
    Optional<Spread> us = results.spread(ours, test);
    return us.isEmpty() || theirs.isEmpty()
        ? ""
        : format("%.2f", us.get().median() / theirs.get().tokensPerSecond());
  }

  private void engines() {
    heading("Engines");
    run.engines()
        .forEach(
            (peer, engine) -> line("- %s: %s; %s", peer.id(), engine.name(), engine.features()));
  }

  private void absent() {
    if (run.absent().isEmpty() && run.failures().isEmpty()) {
      return;
    }
    heading("Not measured");
    run.absent().forEach((peer, why) -> line("- %s: %s", peer.id(), why));
    run.failures().forEach((one, why) -> line("- %s: %s", one.label(), why));
  }

  private List<Configuration> measured(Predicate<Configuration> asked) {
    return results.measured().stream().filter(asked).toList();
  }

  private void heading(String text) {
    line("");
    line("## %s", text);
    line("");
  }

  private void row(List<String> cells) {
    line("%s", cells.stream().collect(Collectors.joining(" | ", "| ", " |")));
  }

  private void rule(int columns) {
    row(Collections.nCopies(columns, "---"));
  }

  private void line(String format, Object... values) {
    page.append(format(format, values)).append('\n');
  }

  private static String format(String format, Object... values) {
    return String.format(Locale.ROOT, format, values);
  }
}
