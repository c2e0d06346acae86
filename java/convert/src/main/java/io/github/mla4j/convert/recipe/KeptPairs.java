package io.github.mla4j.convert.recipe;

import io.github.mla4j.convert.RopeSelection;
import java.util.Arrays;
import java.util.stream.IntStream;

/**
 * The rotary pairs that a layer keeps, for each KV head. Pair i of a head is its dims i and i +
 * d/2. All query heads of a KV head keep the same pairs.
 */
public final class KeptPairs {
  private final int headLength;
  private final int[][] pairs;

  private KeptPairs(int headLength, int[][] pairs) {
    this.headLength = headLength;
    this.pairs = pairs;
  }

  /**
   * A choice that is the same for every head.
   *
   * @param selection any but {@link RopeSelection#TWO_NORM}
   * @param ropeDims R, even, at most {@code headLength}; for a uniform choice a divisor of it
   * @param start the first pair of a uniform choice, less than headLength / ropeDims
   */
  public static KeptPairs byFrequency(
      RopeSelection selection, int headLength, int ropeDims, int start, int kvHeads) {
    int kept = ropeDims / 2;
    int[] pairs =
        switch (selection) {
          case HIGH -> IntStream.range(0, kept).toArray();
          case LOW -> IntStream.range(headLength / 2 - kept, headLength / 2).toArray();
          case UNIFORM ->
              IntStream.range(0, kept).map(i -> start + i * (headLength / ropeDims)).toArray();
          case TWO_NORM -> throw new IllegalArgumentException("2-norm depends on measurements");
        };
    return new KeptPairs(
        headLength, IntStream.range(0, kvHeads).mapToObj(g -> pairs).toArray(int[][]::new));
  }

  /**
   * The best-ranked pairs of each head.
   *
   * @param rank [kvHeads][headLength / 2], 0 for the most important pair
   */
  public static KeptPairs byRank(int[][] rank, int headLength, int ropeDims) {
    int[][] pairs = new int[rank.length][];
    for (int g = 0; g < rank.length; g++) {
      int[] ranks = rank[g];
      pairs[g] =
          IntStream.range(0, headLength / 2).filter(pair -> ranks[pair] < ropeDims / 2).toArray();
    }
    return new KeptPairs(headLength, pairs);
  }

  public int kvHeads() {
    return pairs.length;
  }

  /** Rotary dims a head, R. */
  public int ropeDims() {
    return 2 * pairs[0].length;
  }

  /** Other dims a head, d − R. */
  public int otherDims() {
    return headLength - ropeDims();
  }

  /** Pairs that KV head {@code g} keeps, rising. */
  public int[] pairs(int g) {
    return pairs[g].clone();
  }

  /** Dims of KV head {@code g} that keep their rotation: first halves of the pairs, then second. */
  public int[] rotaryDims(int g) {
    return IntStream.concat(
            IntStream.of(pairs[g]), IntStream.of(pairs[g]).map(pair -> pair + headLength / 2))
        .toArray();
  }

  /** The other dims of KV head {@code g}, rising. */
  public int[] otherDims(int g) {
    boolean[] rotary = new boolean[headLength];
    for (int dim : rotaryDims(g)) {
      rotary[dim] = true;
    }
    return IntStream.range(0, headLength).filter(dim -> !rotary[dim]).toArray();
  }

  /** All dims of KV head {@code g} in the converted order: rotary, then the others. */
  public int[] dims(int g) {
    return IntStream.concat(IntStream.of(rotaryDims(g)), IntStream.of(otherDims(g))).toArray();
  }

  /** Whether every KV head keeps the same pairs. */
  public boolean sameForAllHeads() {
    return IntStream.range(1, pairs.length).allMatch(g -> Arrays.equals(pairs[0], pairs[g]));
  }

  /** Inverse frequencies of all heads' kept pairs, head after head. */
  public float[] frequencies(double[] inverse) {
    float[] kept = new float[kvHeads() * ropeDims() / 2];
    int i = 0;
    for (int[] head : pairs) {
      for (int pair : head) {
        kept[i++] = (float) inverse[pair];
      }
    }
    return kept;
  }
}
