package io.github.mla4j.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;

final class LogitPairTest {
  private static final float NEVER = Float.NEGATIVE_INFINITY;

  @Test
  void isTheDefinitionWrittenOut() {
    Random random = new Random(1);
    for (int vocabulary : new int[] {1, 2, 17, 1000}) {
      for (float spread : new float[] {0.1f, 3, 30}) {
        float[] teacher = logits(random, vocabulary, spread);
        float[] model = logits(random, vocabulary, spread);
        int next = random.nextInt(vocabulary);
        double[] p = softmax(teacher);
        double[] q = softmax(model);
        double expected = 0;
        for (int i = 0; i < vocabulary; i++) {
          expected += p[i] == 0 ? 0 : p[i] * (Math.log(p[i]) - Math.log(q[i]));
        }
        LogitPair pair = LogitPair.of(teacher, model, next);
        assertEquals(expected, pair.divergence(), 1e-9 * (1 + Math.abs(expected)));
        assertEquals(Math.log(p[next]), pair.teacher(), 1e-9);
        assertEquals(Math.log(q[next]), pair.model(), 1e-9);
      }
    }
  }

  @Test
  void likeDistributionsAreNeverBelowZeroByMoreThanRounding() {
    Random random = new Random(2);
    for (int row = 0; row < 50; row++) {
      float[] teacher = logits(random, 49_152, 5);
      assertEquals(0, LogitPair.of(teacher, teacher, 0).divergence());
      float[] model = teacher.clone();
      for (int i = 0; i < model.length; i++) {
        // All alike: the distribution stays, its logits and their rounding do not.
        model[i] += 1000.3f;
      }
      assertEquals(0, LogitPair.of(teacher, model, 0).divergence(), 1e-6);
      assertTrue(LogitPair.of(teacher, model, 0).divergence() > -1e-12);
    }
  }

  @Test
  void theLikeliestTokensAgreeOrNot() {
    assertTrue(LogitPair.of(new float[] {1, 3, 2}, new float[] {0, 9, -4}, 0).agree());
    assertFalse(LogitPair.of(new float[] {1, 3, 2}, new float[] {9, 3, 2}, 0).agree());
  }

  @Test
  void impossibleTokens() {
    // To the teacher: they do not count. ln(1/2) against ln(1/3).
    float[] teacher = {0, 0, NEVER};
    assertEquals(
        Math.log(1.5), LogitPair.of(teacher, new float[] {0, 0, 0}, 0).divergence(), 1e-12);
    assertEquals(0, LogitPair.of(teacher, teacher, 0).divergence());
    // To the model alone: no distance is great enough.
    assertEquals(
        Double.POSITIVE_INFINITY,
        LogitPair.of(new float[] {0, 0, 0}, new float[] {0, 0, NEVER}, 0).divergence());
  }

  @Test
  void noNumbersGiveNoNumber() {
    assertTrue(
        Double.isNaN(LogitPair.of(new float[] {1, Float.NaN}, new float[] {1, 2}, 0).divergence()));
    assertTrue(
        Double.isNaN(LogitPair.of(new float[] {1, 2}, new float[] {1, Float.NaN}, 0).divergence()));
  }

  private static float[] logits(Random random, int count, float spread) {
    float[] logits = new float[count];
    for (int i = 0; i < count; i++) {
      logits[i] = spread * (float) random.nextGaussian();
    }
    return logits;
  }

  private static double[] softmax(float[] logits) {
    double sum = 0;
    for (float logit : logits) {
      sum += Math.exp(logit);
    }
    double[] p = new double[logits.length];
    for (int i = 0; i < p.length; i++) {
      p[i] = Math.exp(logits[i]) / sum;
    }
    assertEquals(1, Arrays.stream(p).sum(), 1e-9);
    return p;
  }
}
