package io.github.mla4j.convert.calibrated;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import org.junit.jupiter.api.Test;

/** Choices among a few components, whose scores are known sample by sample. */
final class ComponentChoiceTest {
  private static final int COUNT = 4;
  private static final int SAMPLES = 500;

  private final Random random = new Random(7);
  private final double[][] scores = new double[SAMPLES][3 * COUNT];

  @Test
  void aComponentWithAFixedAngleLosesNothingAndGoesFirst() {
    // Components 0, 1 and 3 turn at random, 2 always by the same angle and gain.
    for (double[] sample : scores) {
      for (int p = 0; p < COUNT; p++) {
        sample[p] = random.nextGaussian();
        sample[COUNT + p] = random.nextGaussian();
        sample[2 * COUNT + p] = random.nextGaussian();
      }
      sample[2] = 0.6 * sample[COUNT + 2] - 0.3 * sample[2 * COUNT + 2];
    }
    ComponentChoice choice = new ComponentChoice(covariance(), COUNT);
    assertArrayEquals(new int[] {0, 1, 3}, choice.kept(3));
    // Re(γ z) = Re γ Re z − Im γ Im z
    assertEquals(0.6, choice.gainReal(2), 1e-6);
    assertEquals(0.3, choice.gainImaginary(2), 1e-6);
  }

  @Test
  void whatCancelsTogetherGoesTogether() {
    // 0 and 1 are large and opposite; 2 and 3 are small and alone.
    for (double[] sample : scores) {
      double large = 10 * random.nextGaussian();
      sample[0] = large;
      sample[1] = -large + 0.01 * random.nextGaussian();
      sample[2] = 8 * random.nextGaussian();
      sample[3] = 9 * random.nextGaussian();
    }
    ComponentChoice choice = new ComponentChoice(covariance(), COUNT);
    int[] one = choice.kept(1);
    assertEquals(1, one.length);
    // After 2 (the least alone) has gone, 0 and 1 cost nothing as a pair, but each by itself much.
    assertTrue(choice.kept(4).length == 4);
    assertArrayEquals(new int[] {0, 1}, choice.kept(2));
  }

  @Test
  void gainsAreLeastSquares() {
    for (double[] sample : scores) {
      for (int i = 0; i < sample.length; i++) {
        sample[i] = random.nextGaussian() + (i > 0 ? 0.5 * sample[i - 1] : 0);
      }
    }
    ComponentChoice choice = new ComponentChoice(covariance(), COUNT);
    for (int p = 0; p < COUNT; p++) {
      double best = left(p, choice.gainReal(p), choice.gainImaginary(p));
      for (double step : new double[] {-0.01, 0.01}) {
        assertTrue(best < left(p, choice.gainReal(p) + step, choice.gainImaginary(p)));
        assertTrue(best < left(p, choice.gainReal(p), choice.gainImaginary(p) + step));
      }
    }
  }

  private double left(int p, double real, double imaginary) {
    double sum = 0;
    for (double[] sample : scores) {
      double rest = sample[p] - (real * sample[COUNT + p] - imaginary * sample[2 * COUNT + p]);
      sum += rest * rest;
    }
    return sum;
  }

  private double[] covariance() {
    double[] m = new double[9 * COUNT * COUNT];
    for (double[] sample : scores) {
      for (int i = 0; i < 3 * COUNT; i++) {
        for (int j = 0; j < 3 * COUNT; j++) {
          m[i * 3 * COUNT + j] += sample[i] * sample[j] / SAMPLES;
        }
      }
    }
    return m;
  }
}
