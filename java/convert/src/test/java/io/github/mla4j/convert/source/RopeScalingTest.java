package io.github.mla4j.convert.source;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class RopeScalingTest {
  private static final double[] PLAIN =
      RopeFrequencies.of(8, 10_000, new RopeScaling.None()).inverse();

  @Test
  void plainFrequenciesFallGeometrically() {
    assertArrayEquals(new double[] {1, 0.1, 0.01, 0.001}, PLAIN, 1e-15);
  }

  @Test
  void linearDividesAll() {
    double[] scaled = RopeFrequencies.of(8, 10_000, new RopeScaling.Linear(4)).inverse();
    assertArrayEquals(new double[] {0.25, 0.025, 0.0025, 0.00025}, scaled, 1e-15);
  }

  /** In 1,000 tokens the pairs turn 159, 15.9, 1.59 and 0.159 times. */
  @Test
  void llama3KeepsFastPairsDividesSlowOnesAndBlendsBetween() {
    double[] scaled =
        RopeFrequencies.of(8, 10_000, new RopeScaling.Llama3(8, 1, 4, 1000)).inverse();
    double keep = (1000 * 0.01 / (2 * Math.PI) - 1) / 3;
    assertArrayEquals(
        new double[] {1, 0.1, 0.01 * (keep + (1 - keep) / 8), 0.001 / 8}, scaled, 1e-15);
  }

  /** Pairs that turn 32 and 1 times in 1,000 tokens: 0.70 and 2.20, rounded outwards to 0 and 3. */
  @Test
  void yarnBlendsOverARampOfPairs() {
    RopeScaling.Yarn yarn =
        new RopeScaling.Yarn(4, 1000, 32, 1, RopeScaling.Yarn.defaultAttentionFactor(4), true);
    RopeFrequencies rope = RopeFrequencies.of(8, 10_000, yarn);
    double[] expected = new double[4];
    for (int i = 0; i < 4; i++) {
      double stretch = i / 3.0;
      expected[i] = PLAIN[i] * (stretch / 4 + 1 - stretch);
    }
    assertArrayEquals(expected, rope.inverse(), 1e-15);
    assertEquals(1 + 0.1 * Math.log(4), rope.attentionFactor(), 1e-15);
  }

  @Test
  void divisorsComeBeforeTheScaling() {
    RopeScaling scaling =
        new RopeScaling.Divided(new float[] {1, 2, 4, 8}, new RopeScaling.Linear(2));
    assertArrayEquals(
        new double[] {0.5, 0.025, 0.00125, 0.0000625},
        RopeFrequencies.of(8, 10_000, scaling).inverse(),
        1e-15);
  }
}
