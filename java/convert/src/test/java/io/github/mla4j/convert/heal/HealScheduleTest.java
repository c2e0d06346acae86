package io.github.mla4j.convert.heal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The rate over a run, and what says how much of the run is done. */
class HealScheduleTest {
  @Test
  void thePapersStepsUpAndDown() {
    long steps = 18_000;
    assertEquals(1 / 900.0, at(HealSchedule.PAPER, 0, steps), 1e-9);
    assertEquals(450 / 900.0, at(HealSchedule.PAPER, 449, steps), 1e-9);
    assertEquals(1, at(HealSchedule.PAPER, 900, steps), 1e-9);
    assertEquals(1, at(HealSchedule.PAPER, 16_200, steps), 1e-7);
    assertEquals(1 - Math.sqrt(0.25), at(HealSchedule.PAPER, 16_650, steps), 1e-9);
    assertEquals(1 - Math.sqrt(1799 / 1800.0), at(HealSchedule.PAPER, 17_999, steps), 1e-9);
  }

  private static double at(HealSchedule schedule, long step, long steps) {
    return schedule.factor((double) step / steps, (step + 1.0) / steps);
  }

  @ParameterizedTest
  @EnumSource
  void endsAtZeroAndNeverAboveThePeak(HealSchedule schedule) {
    for (int step = 0; step < 100; step++) {
      double factor = at(schedule, step, 100);
      assertTrue(factor > 0 && factor <= 1, "step " + step + ": " + factor);
    }
    assertEquals(0, schedule.factor(1, 1));
    assertEquals(0, schedule.factor(1.3, 1));
  }

  @Test
  void minutesGoOnAfterAnInterruption() {
    long[] now = {0};
    HealLength length = new HealLength.Minutes(10);
    RunClock clock = new RunClock(length, Duration.ofMinutes(4), 20, () -> now[0]);
    assertEquals(0.4, clock.share(), 1e-9);
    now[0] = Duration.ofMinutes(1).toNanos();
    clock.step(now[0]);
    assertEquals(0.5, clock.share(), 1e-9);
    assertEquals(0.6, clock.shareAfterStep(), 1e-9);
    assertEquals(Duration.ofMinutes(5), clock.left());
    assertEquals(21, clock.steps());
    // A step that would end nearer to ten minutes than the run is, is taken; another is not.
    now[0] = Duration.ofSeconds(5 * 60 + 20).toNanos();
    assertTrue(!clock.done());
    now[0] = Duration.ofSeconds(5 * 60 + 31).toNanos();
    assertTrue(clock.done());
  }

  @Test
  void aRunOfMinutesHasAStepAtLeast() {
    long[] now = {0};
    RunClock clock = new RunClock(new HealLength.Minutes(1), Duration.ZERO, 0, () -> now[0]);
    now[0] = Duration.ofMinutes(2).toNanos();
    assertTrue(!clock.done());
    assertEquals(1, clock.share());
    clock.step(now[0]);
    assertTrue(clock.done());
  }

  @Test
  void stepsDoNotLookAtTheTime() {
    long[] now = {0};
    RunClock clock = new RunClock(new HealLength.Steps(4), Duration.ZERO, 1, () -> now[0]);
    now[0] = Duration.ofHours(5).toNanos();
    clock.step(now[0]);
    assertEquals(0.5, clock.share(), 1e-9);
    assertEquals(0.75, clock.shareAfterStep(), 1e-9);
    assertEquals(Duration.ofHours(10), clock.left());
    clock.step(1);
    clock.step(1);
    assertTrue(clock.done());
  }
}
