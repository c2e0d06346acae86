package io.github.mla4j.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.mla4j.CacheType;
import io.github.mla4j.Model;
import io.github.mla4j.Session;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;

final class PerplexityTest {
  @Test
  void isWhatTheLogitsSayWindowByWindow() {
    try (Model model = Stories.open();
        Session session = model.newSession(options -> options.cache(CacheType.F32))) {
      int[] ids = model.tokenizer().encode(Stories.TEXT, false, false);
      int bos = model.tokenizer().bos().getAsInt();
      Perplexity measured = Perplexity.measure(session, OptionalInt.of(bos), ids, 16);
      double[] expected = byLogits(session, bos, ids, 15);
      assertEquals(ids.length, measured.tokens());
      double mean = Arrays.stream(expected).average().orElseThrow();
      double variance =
          Arrays.stream(expected).map(x -> (x - mean) * (x - mean)).sum() / (expected.length - 1);
      assertEquals(Math.exp(-mean), measured.value(), 1e-3 * measured.value());
      assertEquals(
          measured.value() * Math.sqrt(variance / expected.length),
          measured.standardError(),
          1e-3 * measured.standardError());
    }
  }

  @Test
  void withoutAFirstTokenOneOfEachWindowIsNotPredicted() {
    try (Model model = Stories.open();
        Session session = model.newSession()) {
      int[] ids = Arrays.copyOf(model.tokenizer().encode(Stories.TEXT, false, false), 21);
      // Windows of 10, 10 and 1: the last has nothing to predict.
      assertEquals(18, Perplexity.measure(session, OptionalInt.empty(), ids, 10).tokens());
      int[] two = Arrays.copyOf(ids, 2);
      Perplexity one = Perplexity.measure(session, OptionalInt.empty(), two, 10);
      assertEquals(1, one.tokens());
      assertTrue(Double.isNaN(one.standardError()), one.toString());
      assertThrows(
          IllegalArgumentException.class,
          () -> Perplexity.measure(session, OptionalInt.empty(), new int[] {1}, 10));
      assertThrows(
          IllegalArgumentException.class,
          () -> Perplexity.measure(session, OptionalInt.empty(), ids, 1));
    }
  }

  @Test
  void aRatioIsThatOfTheTwoAndCloserThanTheirSpreadTells() {
    try (Model model = Stories.open();
        Session exact = model.newSession(options -> options.cache(CacheType.F32));
        Session coarse = model.newSession(options -> options.cache(CacheType.INT8))) {
      int[] ids = model.tokenizer().encode(Stories.TEXT.repeat(4), false, false);
      TextWindows windows = new TextWindows(model.tokenizer().bos(), ids, 100);
      Perplexity exactAlone = Perplexity.measure(exact, windows, soFar -> {});
      Perplexity coarseAlone = Perplexity.measure(coarse, windows, soFar -> {});
      PerplexityRatio measured = PerplexityRatio.measure(coarse, exact, windows, soFar -> {});
      assertEquals(coarseAlone, measured.model());
      assertEquals(exactAlone, measured.teacher());
      assertEquals(coarseAlone.value() / exactAlone.value(), measured.value(), 1e-6);
      assertTrue(measured.standardError() > 0, measured.toString());
      assertTrue(
          measured.standardError() < 0.1 * exactAlone.standardError() / exactAlone.value(),
          measured.toString());
    }
  }

  @Test
  void throughputIsTwoRatesOfTheSameTokens() {
    try (Model model = Stories.open();
        Session session = model.newSession()) {
      int[] ids = model.tokenizer().encode(Stories.TEXT);
      Throughput measured = Throughput.measure(session, ids, 8);
      assertTrue(measured.prefillTokensPerSecond() > 0, measured.toString());
      assertTrue(measured.decodeTokensPerSecond() > 0, measured.toString());
      assertEquals(ids.length, session.length());
      assertThrows(
          IllegalArgumentException.class, () -> Throughput.measure(session, ids, ids.length));
    }
  }

  /** ln p of every token, a step at a time, the softmax written out. */
  private static double[] byLogits(Session session, int bos, int[] ids, int text) {
    double[] logProbabilities = new double[ids.length];
    for (int i = 0; i < ids.length; i++) {
      if (i % text == 0) {
        session.rewind(0);
        session.append(bos);
      }
      FloatBuffer logits = session.logits();
      double sum = 0;
      for (int token = 0; token < logits.limit(); token++) {
        sum += Math.exp(logits.get(token));
      }
      logProbabilities[i] = logits.get(ids[i]) - Math.log(sum);
      session.append(ids[i]);
    }
    return logProbabilities;
  }
}
