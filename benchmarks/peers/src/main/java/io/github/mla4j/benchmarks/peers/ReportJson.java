package io.github.mla4j.benchmarks.peers;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.List;

/** A comparison with every sample. */
final class ReportJson {
  private static final ObjectMapper JSON = new ObjectMapper();

  private ReportJson() {}

  static String of(Run run) {
    ObjectNode root = JSON.createObjectNode();
    root.put("command", run.command());
    root.put("commit", run.commit());
    root.putObject("machine")
        .put("cpu", run.machine().cpu())
        .put("cores", run.machine().cores())
        .put("isa", run.machine().isa())
        .put("os", run.machine().os())
        .put("java", run.machine().java());
    root.put("threads", run.threads());
    root.put("model", run.models().source().toString());
    run.models().converted().ifPresent(file -> root.put("conversion", file.toString()));
    ArrayNode loads = root.putArray("load_before_rounds");
    run.loads().forEach(loads::add);
    ArrayNode engines = root.putArray("engines");
    run.engines()
        .forEach(
            (peer, engine) ->
                engines
                    .addObject()
                    .put("peer", peer.id())
                    .put("engine", engine.name())
                    .put("build", engine.build()));
    ArrayNode rows = root.putArray("rows");
    for (Configuration one : run.results().measured()) {
      for (String test : run.plan().tests()) {
        run.results().spread(one, test).ifPresent(spread -> row(rows, run, one, test, spread));
      }
    }
    ArrayNode goals = root.putArray("goals");
    for (Goal.Outcome outcome : Goal.outcomes(run.results())) {
      goals
          .addObject()
          .put("what", outcome.goal().what())
          .put("test", outcome.goal().test())
          .put("mla4j", outcome.ours().configuration().label())
          .put("peer", outcome.theirs().configuration().label())
          .put("ratio", outcome.ratio())
          .put("goal", outcome.goal().factor())
          .put("met", outcome.isMet());
    }
    ArrayNode absent = root.putArray("not_measured");
    run.absent().forEach((peer, why) -> absent.addObject().put("what", peer.id()).put("why", why));
    run.failures()
        .forEach((one, why) -> absent.addObject().put("what", one.label()).put("why", why));
    return root.toPrettyString();
  }

  private static void row(ArrayNode rows, Run run, Configuration one, String test, Spread spread) {
    ObjectNode row =
        rows.addObject()
            .put("peer", one.peer().id())
            .put("model", one.converted() ? "conversion" : "source")
            .put("cache", one.cache());
    ArrayNode flags = row.putArray("flags");
    one.flags().forEach(flags::add);
    row.put("test", test)
        .put("tokens", run.plan().tokens(test))
        .put("tokens_per_second", spread.median())
        .put("spread", spread.distance());
    ArrayNode samples = row.putArray("samples");
    List<Double> values = run.results().samples(one, test);
    values.forEach(samples::add);
  }
}
