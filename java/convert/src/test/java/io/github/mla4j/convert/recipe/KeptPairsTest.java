package io.github.mla4j.convert.recipe;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.mla4j.convert.RopeSelection;
import org.junit.jupiter.api.Test;

class KeptPairsTest {
  @Test
  void choicesByFrequency() {
    KeptPairs high = KeptPairs.byFrequency(RopeSelection.HIGH, 16, 4, 0, 2);
    assertArrayEquals(new int[] {0, 1, 8, 9}, high.rotaryDims(1));
    assertTrue(high.sameForAllHeads());
    KeptPairs low = KeptPairs.byFrequency(RopeSelection.LOW, 16, 4, 0, 2);
    assertArrayEquals(new int[] {6, 7, 14, 15}, low.rotaryDims(0));
    KeptPairs uniform = KeptPairs.byFrequency(RopeSelection.UNIFORM, 16, 4, 0, 2);
    assertArrayEquals(new int[] {0, 4, 8, 12}, uniform.rotaryDims(0));
    assertArrayEquals(new int[] {1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15}, uniform.otherDims(0));
    KeptPairs later = KeptPairs.byFrequency(RopeSelection.UNIFORM, 16, 4, 3, 2);
    assertArrayEquals(new int[] {3, 7, 11, 15}, later.rotaryDims(0));
  }

  @Test
  void ranksChooseForEachHead() {
    KeptPairs kept = KeptPairs.byRank(new int[][] {{3, 0, 1, 2}, {0, 2, 3, 1}}, 8, 4);
    assertArrayEquals(new int[] {1, 2, 5, 6}, kept.rotaryDims(0));
    assertArrayEquals(new int[] {0, 3, 4, 7}, kept.rotaryDims(1));
    assertFalse(kept.sameForAllHeads());
    assertArrayEquals(
        new float[] {0.5f, 0.25f, 1, 0.125f}, kept.frequencies(new double[] {1, 0.5, 0.25, 0.125}));
  }

  @Test
  void noneAndAll() {
    KeptPairs none = KeptPairs.byFrequency(RopeSelection.UNIFORM, 4, 0, 0, 1);
    assertArrayEquals(new int[] {0, 1, 2, 3}, none.dims(0));
    KeptPairs all = KeptPairs.byFrequency(RopeSelection.UNIFORM, 4, 4, 0, 1);
    assertArrayEquals(new int[] {0, 1, 2, 3}, all.dims(0));
    assertArrayEquals(new int[0], all.otherDims(0));
  }
}
