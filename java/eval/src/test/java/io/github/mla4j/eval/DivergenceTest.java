package io.github.mla4j.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.mla4j.CacheType;
import io.github.mla4j.Model;
import io.github.mla4j.Session;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;

final class DivergenceTest {
  private static final int VOCABULARY = 512;

  /** Windows of several parts and a last one that is short. */
  @Test
  void isWhatTheLogitsSay() {
    try (Model model = Stories.open();
        Session exact = model.newSession(options -> options.cache(CacheType.F32));
        Session coarse = model.newSession(options -> options.cache(CacheType.INT8))) {
      TextWindows windows = TextWindows.of(model.tokenizer(), Stories.TEXT.repeat(12), 300);
      assertTrue(windows.count() > 1 && windows.predictions() % 299 > 1);
      List<Double> told = new ArrayList<>();
      Divergence measured = Divergence.measure(coarse, exact, VOCABULARY, windows, told::add);

      List<LogitPair> pairs = byLogits(coarse, exact, windows);
      List<Double> divergences =
          new ArrayList<>(pairs.stream().map(LogitPair::divergence).toList());
      Collections.sort(divergences);
      int count = divergences.size();
      double mean = divergences.stream().mapToDouble(x -> x).average().orElseThrow();
      double squares = divergences.stream().mapToDouble(x -> (x - mean) * (x - mean)).sum();
      double least = divergences.get(0);
      double greatest = divergences.get(count - 1);
      assertTrue(least > -1e-6 && greatest > 1e-4, least + " to " + greatest);
      double tolerance = 1e-3 * mean;
      assertEquals(mean, measured.mean(), tolerance);
      assertEquals(Math.sqrt(squares / (count - 1) / count), measured.standardError(), tolerance);
      assertEquals(divergences.get(count / 2), measured.median(), 0.02 * mean);
      int below = (int) (0.99 * (count - 1));
      assertTrue(divergences.get(below) <= measured.p99() + tolerance, measured.toString());
      assertTrue(divergences.get(below + 1) >= measured.p99() - tolerance, measured.toString());
      assertEquals(greatest, measured.max(), 1e-3 * greatest);
      long agreed = pairs.stream().filter(LogitPair::agree).count();
      assertEquals(agreed, measured.agreement().hits(), 1);
      assertEquals(count, measured.agreement().of());
      assertEquals(windows.count(), told.size());
      assertEquals(measured.mean(), told.get(told.size() - 1));
    }
  }

  @Test
  void countsAndPerplexitiesAreThoseOfPpl() {
    try (Model model = Stories.open();
        Session exact = model.newSession(options -> options.cache(CacheType.F32));
        // Of few bits a level may fall either way when tokens come in other parts.
        Session coarse = model.newSession(options -> options.cache(CacheType.F16))) {
      TextWindows windows = TextWindows.of(model.tokenizer(), Stories.TEXT.repeat(4), 64);
      PerplexityRatio alone = PerplexityRatio.measure(coarse, exact, windows, soFar -> {});
      PerplexityRatio beside =
          Divergence.measure(coarse, exact, VOCABULARY, windows, soFar -> {}).perplexity();
      assertEquals(alone.model().tokens(), beside.model().tokens());
      assertEquals(alone.model().value(), beside.model().value(), 1e-4);
      assertEquals(alone.teacher().value(), beside.teacher().value(), 1e-4);
      assertEquals(alone.value(), beside.value(), 1e-5);
      assertEquals(alone.standardError(), beside.standardError(), 1e-5);
    }
  }

  @Test
  void aModelIsNoDistanceFromItself() {
    try (Model model = Stories.open();
        Session one = model.newSession();
        Session other = model.newSession()) {
      TextWindows windows = TextWindows.of(model.tokenizer(), Stories.TEXT, 20);
      Divergence measured = Divergence.measure(one, other, VOCABULARY, windows, soFar -> {});
      assertEquals(0, measured.mean());
      assertEquals(0, measured.max());
      assertEquals(1, measured.agreement().value());
      assertEquals(1, measured.perplexity().value());
    }
  }

  @Test
  void aTextOfNothingIsRefused() {
    try (Model model = Stories.open();
        Session one = model.newSession();
        Session other = model.newSession()) {
      TextWindows nothing = new TextWindows(OptionalInt.empty(), new int[] {1}, 20);
      assertThrows(
          IllegalArgumentException.class,
          () -> Divergence.measure(one, other, VOCABULARY, nothing, soFar -> {}));
    }
  }

  private static List<LogitPair> byLogits(Session model, Session teacher, TextWindows windows) {
    List<LogitPair> pairs = new ArrayList<>();
    for (int i = 0; i < windows.count(); i++) {
      teacher.rewind(0);
      model.rewind(0);
      int[] window = windows.window(i);
      float[][] expected = teacher.logitsAll(window);
      float[][] found = model.logitsAll(window);
      for (int at = 0; at < window.length - 1; at++) {
        pairs.add(LogitPair.of(expected[at], found[at], window[at + 1]));
      }
    }
    return pairs;
  }
}
