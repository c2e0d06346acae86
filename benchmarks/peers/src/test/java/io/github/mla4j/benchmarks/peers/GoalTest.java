package io.github.mla4j.benchmarks.peers;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;

class GoalTest {
  private static final StepPlan PLAN = new StepPlan(List.of(512, 4096), 48, List.of(0, 4096, 7680));
  private static final String DEEP = "tg @ 7680";

  private final Run run =
      Runs.empty(PLAN, Peer.MLA4J, Peer.LLAMA_CPP, Peer.NODE_LLAMA_CPP, Peer.IK_LLAMA_CPP);

  @Test
  void int4IsComparedWithTheFastestTypeOfTheFastestBuild() {
    Runs.add(run, "mla4j int4", DEEP, 50, 90, 60);
    Runs.add(run, "llama.cpp f16", DEEP, 11);
    Runs.add(run, "llama.cpp q8_0 flash", DEEP, 19);
    Runs.add(run, "node-llama-cpp q4_0 flash", DEEP, 20);
    Runs.add(run, "ik_llama.cpp q8_0 flash", DEEP, 500); // another engine than the goals'
    Goal.Outcome outcome = only("int4", false);
    assertEquals("node-llama-cpp q4_0 flash", outcome.theirs().configuration().label());
    assertEquals(3.0, outcome.ratio());
    assertTrue(outcome.isMet());
  }

  @Test
  void f16IsComparedWithF16WithOrWithoutFlashAttention() {
    Runs.add(run, "mla4j f16", DEEP, 30);
    Runs.add(run, "mla4j int4", DEEP, 1000);
    Runs.add(run, "llama.cpp f16", DEEP, 10);
    Runs.add(run, "llama.cpp f16 flash", DEEP, 16);
    Runs.add(run, "llama.cpp q8_0 flash", DEEP, 29);
    Goal.Outcome outcome = only("f16", false);
    assertEquals(30.0 / 16, outcome.ratio());
    assertFalse(outcome.isMet());
  }

  @Test
  void theConversionHasAGoalOfItsOwn() {
    Runs.add(run, "mla4j int4", DEEP, 30);
    Runs.add(run, "mla4j conversion int4", DEEP, 49);
    Runs.add(run, "llama.cpp f16", DEEP, 10);
    assertEquals(4.9, only("int4", true).ratio());
    assertFalse(only("int4", true).isMet());
    assertEquals(3.0, only("int4", false).ratio());
  }

  @Test
  void whatOneSideLacksHasNoOutcome() {
    Runs.add(run, "mla4j f16", "pp512", 100);
    Runs.add(run, "llama.cpp f16", "pp4096", 10);
    Runs.add(run, "ik_llama.cpp f16", "pp512", 10);
    assertEquals(List.of(), Goal.outcomes(run.results()));
  }

  private Goal.Outcome only(String cache, boolean converted) {
    List<Goal.Outcome> outcomes =
        Goal.outcomes(run.results()).stream()
            .filter(o -> o.goal().cache().equals(cache) && o.goal().converted() == converted)
            .toList();
    assertEquals(1, outcomes.size(), outcomes::toString);
    return outcomes.get(0);
  }
}
