package io.github.mla4j.eval.sweep;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.mla4j.eval.Machine;
import java.util.List;
import org.junit.jupiter.api.Test;

final class SweepReuseTest {
  private static final List<SweepModel> MODELS =
      List.of(Sweeps.model("source"), Sweeps.model("half"));
  private static final SweepSettings SETTINGS =
      Sweeps.settings(List.of("f16", "int8"), List.of(0, 100));
  private static final SweepEntry FIRST = Sweeps.entry("source", "f16", 100, 10, List.of(0, 100));
  private static final SweepEntry SECOND = Sweeps.entry("half", "int8", 50, 11, List.of(0, 100));
  private static final Sweep EARLIER = Sweeps.of(SETTINGS, MODELS, List.of(FIRST, SECOND));

  @Test
  void theSameCommandKeepsEverything() {
    SweepReuse reuse = SweepReuse.of(EARLIER, SETTINGS, Sweeps.MACHINE, MODELS);
    assertEquals(new SweepReuse(List.of(FIRST, SECOND), List.of(), false), reuse);
    assertEquals(SECOND, reuse.result("half", "int8").orElseThrow());
    assertTrue(reuse.result("half", "f16").isEmpty());
  }

  @Test
  void otherQualitySettingsKeepNothing() {
    SweepSettings s = SETTINGS;
    List<SweepSettings> others =
        List.of(
            new SweepSettings(s.data(), "other", 128, 3, s.teacher(), s.caches(), s.depths(), 2),
            new SweepSettings(s.data(), "abc", 64, 3, s.teacher(), s.caches(), s.depths(), 2),
            new SweepSettings(s.data(), "abc", 128, 0, s.teacher(), s.caches(), s.depths(), 2),
            new SweepSettings(
                s.data(), "abc", 128, 3, Sweeps.file("half"), s.caches(), s.depths(), 2));
    List<String> words = List.of("--data", "--ctx was 128", "all windows", "teacher");
    for (int i = 0; i < others.size(); i++) {
      SweepReuse reuse = SweepReuse.of(EARLIER, others.get(i), Sweeps.MACHINE, MODELS);
      assertTrue(reuse.kept().isEmpty() && reuse.dropsSome(), words.get(i));
      assertEquals(1, reuse.notes().size());
      assertTrue(reuse.notes().get(0).contains(words.get(i)), reuse.notes().get(0));
    }
  }

  @Test
  void otherDepthsKeepQualityAndTheSpeedsThatAreAskedFor() {
    SweepSettings deeper = Sweeps.settings(SETTINGS.caches(), List.of(0, 100, 200));
    assertEquals(
        new SweepReuse(List.of(FIRST, SECOND), List.of(), false),
        SweepReuse.of(EARLIER, deeper, Sweeps.MACHINE, MODELS));
    SweepSettings fewer = Sweeps.settings(SETTINGS.caches(), List.of(100));
    SweepReuse reuse = SweepReuse.of(EARLIER, fewer, Sweeps.MACHINE, MODELS);
    assertTrue(reuse.dropsSome());
    assertEquals(FIRST.with("source", List.of(FIRST.speeds().get(1))), reuse.kept().get(0));
  }

  @Test
  void anotherMachineOrOtherThreadsKeepQualityOnly() {
    Machine other = new Machine("A processor", 2, "avx512", "", "", "");
    SweepSettings s = SETTINGS;
    SweepSettings alone =
        new SweepSettings(s.data(), "abc", 128, 3, s.teacher(), s.caches(), s.depths(), 1);
    for (SweepReuse reuse :
        List.of(
            SweepReuse.of(EARLIER, SETTINGS, other, MODELS),
            SweepReuse.of(EARLIER, alone, Sweeps.MACHINE, MODELS))) {
      assertEquals(2, reuse.kept().size());
      assertEquals(FIRST.quality(), reuse.kept().get(0).quality());
      assertTrue(reuse.kept().get(0).speeds().isEmpty() && reuse.dropsSome());
      assertTrue(reuse.notes().get(0).startsWith("speed is measured anew"));
    }
  }

  @Test
  void aModelThatHasChangedIsMeasuredAnew() {
    SweepModel changed = Sweeps.model("half", new ModelFile(Sweeps.file("half").path(), 1000, 2));
    SweepReuse reuse =
        SweepReuse.of(EARLIER, SETTINGS, Sweeps.MACHINE, List.of(MODELS.get(0), changed));
    assertEquals(List.of(FIRST), reuse.kept());
    assertTrue(reuse.notes().get(0).contains("/models/half"), reuse.notes().get(0));
    assertTrue(reuse.dropsSome());
  }

  @Test
  void anotherModelOrCacheKeepsTheOthers() {
    SweepReuse more =
        SweepReuse.of(
            EARLIER,
            Sweeps.settings(List.of("f16", "int4", "int8"), List.of(0, 100)),
            Sweeps.MACHINE,
            List.of(MODELS.get(0), Sweeps.model("quarter"), MODELS.get(1).labelled("new name")));
    assertEquals(List.of(FIRST, SECOND.with("new name", SECOND.speeds())), more.kept());
    assertFalse(more.dropsSome());
  }
}
