package io.github.mla4j.eval.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

final class BenchSettingsTest {
  @Test
  void everyDepthHasItsPromptsAndThenItsTokens() {
    BenchSettings settings = settings(List.of(512, 0), List.of(64), List.of(4096, 0, 4096));
    assertEquals(
        List.of("pp512", "tg64", "pp512 @ d4096", "tg64 @ d4096"), labels(settings.cases()));
    assertEquals(List.of("tg64"), labels(settings(List.of(0), List.of(64), List.of(0)).cases()));
    assertEquals(List.of("pp8"), labels(settings(List.of(8), List.of(0), List.of(0)).cases()));
    assertTrue(settings(List.of(0), List.of(0), List.of(0)).cases().isEmpty());
  }

  @Test
  void onlySingleTokensGoOnTogether() {
    BenchSettings settings =
        new BenchSettings(List.of(8), List.of(4), List.of(0), List.of(1, 4), 1, 1, false);
    assertEquals(
        List.of(new BenchCase(8, 0, 0, 1), new BenchCase(0, 4, 0, 1), new BenchCase(0, 4, 0, 4)),
        settings.cases());
  }

  @Test
  void whatDoesNotFitIsLeftOutByName() {
    BenchSettings settings = settings(List.of(512), List.of(64), List.of(0, 448, 449));
    assertEquals(List.of("pp512", "tg64", "tg64 @ d448"), labels(settings.cases(512)));
    assertEquals(
        Optional.of("a context of 512 tokens, no room for pp512 @ d448, pp512 @ d449, tg64 @ d449"),
        settings.leftOut(512));
    assertEquals(Optional.empty(), settings.leftOut(449 + 512));
  }

  @Test
  void aCaseIsEitherAPromptOrSingleTokens() {
    assertEquals(4096 + 512, new BenchCase(512, 0, 4096, 1).context());
    assertEquals(64, new BenchCase(0, 64, 0, 1).tokens());
    assertEquals(64 + 10, new BenchCase(0, 64, 10, 4).context());
    assertEquals(64 + 1, new BenchCase(0, 64, 0, 4).context(), "each begins with a token");
    assertThrows(IllegalArgumentException.class, () -> new BenchCase(0, 0, 0, 1));
    assertThrows(IllegalArgumentException.class, () -> new BenchCase(1, 1, 0, 1));
    assertThrows(IllegalArgumentException.class, () -> new BenchCase(1, 0, -1, 1));
    assertThrows(IllegalArgumentException.class, () -> new BenchCase(1, 0, 0, 0));
  }

  private static BenchSettings settings(
      List<Integer> prompts, List<Integer> gens, List<Integer> depths) {
    return new BenchSettings(prompts, gens, depths, List.of(1), 1, 1, false);
  }

  private static List<String> labels(List<BenchCase> cases) {
    return cases.stream().map(BenchCase::label).toList();
  }
}
