package io.github.mla4j.convert.calibrated;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** What each layer may cache, against what trying every spread gives. */
class BudgetSpreadTest {
  private static final int[] SIZES = {4, 8, 12, 20};

  /** Errors that fall by the same factor with every element. */
  private static LayerSensitivity falling(double divergence, double factor) {
    double[] errors = IntStream.of(SIZES).mapToDouble(size -> Math.pow(factor, size)).toArray();
    return new LayerSensitivity(SIZES, errors, 1, divergence);
  }

  @Test
  void layersThatAreAlikeShareEvenly() {
    List<LayerSensitivity> layers = List.of(falling(1, 0.9), falling(1, 0.9), falling(1, 0.9));
    assertArrayEquals(new int[] {8, 8, 8}, BudgetSpread.of(layers, 24));
  }

  @Test
  void theMoreSensitiveLayerTakesMore() {
    int[] spread = BudgetSpread.of(List.of(falling(1, 0.9), falling(100, 0.9)), 24);
    assertEquals(24, Arrays.stream(spread).sum());
    assertTrue(spread[1] > spread[0], Arrays.toString(spread));
  }

  @Test
  void noSpreadIsBetter() {
    Random random = new Random(5);
    for (int round = 0; round < 20; round++) {
      List<LayerSensitivity> layers = new ArrayList<>();
      for (int l = 0; l < 3; l++) {
        layers.add(falling(random.nextDouble(), 0.7 + 0.25 * random.nextDouble()));
      }
      int total = 12 + 2 * random.nextInt(24);
      int[] spread = BudgetSpread.of(layers, total);
      assertEquals(total, Arrays.stream(spread).sum());
      double found = sum(layers, spread);
      for (int a = 4; a <= 20; a += 2) {
        for (int b = 4; b <= 20; b += 2) {
          int c = total - a - b;
          if (c >= 4 && c <= 20) {
            assertTrue(found <= sum(layers, a, b, c) * (1 + 1e-9));
          }
        }
      }
    }
  }

  private static double sum(List<LayerSensitivity> layers, int... elements) {
    return IntStream.range(0, elements.length)
        .mapToDouble(l -> layers.get(l).divergence(elements[l]))
        .sum();
  }

  @Test
  void anOddElementIsNotLost() {
    assertEquals(
        25, Arrays.stream(BudgetSpread.of(List.of(falling(1, 0.9), falling(2, 0.9)), 25)).sum());
  }

  @Test
  void nobodyTakesMoreThanItWasMeasuredAt() {
    assertArrayEquals(
        new int[] {20, 20}, BudgetSpread.of(List.of(falling(1, 0.9), falling(2, 0.9)), 100));
  }

  @Test
  void aBudgetBelowTheLeastIsRefused() {
    assertThrows(
        IllegalArgumentException.class,
        () -> BudgetSpread.of(List.of(falling(1, 0.9), falling(2, 0.9)), 7));
  }

  @Test
  void theDivergenceGoesWithTheErrorAndIsInterpolatedBetween() {
    LayerSensitivity layer =
        new LayerSensitivity(new int[] {10, 20, 40}, new double[] {0.4, 0.1, 0.025}, 1, 3);
    assertEquals(12, layer.divergence(10), 1e-12);
    assertEquals(3, layer.divergence(20), 1e-12);
    assertEquals(6, layer.divergence(15), 1e-12);
    assertEquals(1.5, layer.divergence(30), 1e-12);
    assertEquals(0.75, layer.divergence(40), 1e-12);
  }
}
