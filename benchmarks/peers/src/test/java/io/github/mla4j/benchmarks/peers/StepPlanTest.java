package io.github.mla4j.benchmarks.peers;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class StepPlanTest {
  @Test
  void aPromptFillsTheCacheForTheDepthsBeyondIt() {
    StepPlan plan = new StepPlan(List.of(512, 4096), 48, List.of(0, 4096, 7680));
    List<Step> steps = plan.steps();
    assertEquals(
        List.of(
            new Step(0, 512, false, "pp512"),
            new Step(0, 4096, false, "pp4096"),
            new Step(4096, 48, true, "tg @ 4096"),
            new Step(4096, 3584, false, ""),
            new Step(7680, 48, true, "tg @ 7680"),
            new Step(0, 48, true, "tg @ 0")),
        steps.subList(2, steps.size()));
    assertEquals(7728, plan.context());
  }

  @Test
  void everyTestIsMeasuredOnceInsideTheContextAndNoStepNeedsTokensThatAreNotHeld() {
    Random random = new Random(3);
    for (int i = 0; i < 200; i++) {
      StepPlan plan =
          new StepPlan(numbers(random, 1, 300), 1 + random.nextInt(40), numbers(random, 0, 400));
      int held = 0;
      for (Step step : plan.steps()) {
        assertTrue(step.at() <= held, () -> plan + " skips to " + step);
        held = step.at() + step.count();
        assertTrue(step.count() > 0 && held <= plan.context(), () -> plan + " has " + step);
      }
      assertEquals(
          plan.tests().stream().sorted().toList(),
          plan.steps().stream().map(Step::test).filter(t -> !t.isEmpty()).sorted().toList());
    }
  }

  @Test
  void aTestTellsHowManyTokensItEvaluates() {
    StepPlan plan = new StepPlan(List.of(512), 48, List.of(512));
    assertEquals(512, plan.tokens("pp512"));
    assertEquals(48, plan.tokens("tg @ 512"));
  }

  private static List<Integer> numbers(Random random, int least, int most) {
    return IntStream.range(0, 1 + random.nextInt(4))
        .mapToObj(i -> least + random.nextInt(most - least))
        .toList();
  }
}
