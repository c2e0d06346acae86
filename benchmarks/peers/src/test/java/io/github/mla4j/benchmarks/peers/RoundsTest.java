package io.github.mla4j.benchmarks.peers;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RoundsTest {
  private static final StepPlan PLAN = new StepPlan(List.of(10), 4, List.of(0));

  @TempDir private Path logs;

  @Test
  void everyOtherRoundGoesBackwardsAndAFailureIsNotRepeated() throws Exception {
    Run run = Runs.empty(PLAN, Peer.JLAMA, Peer.MLA4J);
    // One that fails when its cache is int8, and tells of a time else.
    String script =
        "if grep -q '\"cache\":\"int8\"'; then echo '{\"error\":\"no int8\"}'; else"
            + " echo '{\"test\":\"pp10\",\"seconds\":2}'; fi";
    Launch launch = new Launch(List.of("bash", "-c", script));
    List<String> told = new ArrayList<>();
    Rounds rounds =
        new Rounds(
            new PeerProcess(new Children(), Duration.ofSeconds(60)),
            PLAN,
            2,
            new TokenText(new int[72], List.of()),
            logs,
            run,
            told::add);
    Map<Peer, Launch> launches = Map.of(Peer.MLA4J, launch); // jlama could not be had
    rounds.round(0, launches);
    rounds.round(1, launches);
    assertEquals(
        List.of(
            "round 1, mla4j f16",
            "round 1, mla4j int8 failed",
            "round 1, mla4j int4",
            "round 1, mla4j conversion f16",
            "round 1, mla4j conversion int4",
            "round 1, mla4j conversion int2",
            "round 2, mla4j conversion int2",
            "round 2, mla4j conversion int4",
            "round 2, mla4j conversion f16",
            "round 2, mla4j int4",
            "round 2, mla4j f16"),
        told.stream().map(line -> line.split(":")[0]).toList());
    assertEquals(List.of(5.0, 5.0), run.results().samples(Runs.find(run, "mla4j f16"), "pp10"));
    assertEquals("no int8", run.failures().get(Runs.find(run, "mla4j int8")));
    assertEquals(2, run.loads().size());
  }
}
