package io.github.mla4j.convert.source;

import java.util.stream.IntStream;

/**
 * The two orders of a head's rotary pairs: halves (i, i + d/2), as Hugging Face has them, and
 * interleaved (2i, 2i + 1), as GGUF's llama files do.
 */
public final class PairOrder {
  private PairOrder() {}

  /** For each row in order of halves, its row in interleaved order. */
  public static int[] halvesFromInterleaved(int heads, int headLength) {
    int pairs = headLength / 2;
    return IntStream.range(0, heads * headLength)
        .map(
            row -> {
              int dim = row % headLength;
              return row - dim + dim % pairs * 2 + dim / pairs;
            })
        .toArray();
  }

  /** For each row in interleaved order, its row in order of halves. */
  public static int[] interleavedFromHalves(int heads, int headLength) {
    int pairs = headLength / 2;
    return IntStream.range(0, heads * headLength)
        .map(
            row -> {
              int dim = row % headLength;
              return row - dim + dim / 2 + dim % 2 * pairs;
            })
        .toArray();
  }

  /** {@code values} at {@code indexes}. */
  public static float[] select(float[] values, int[] indexes) {
    float[] selected = new float[indexes.length];
    for (int i = 0; i < indexes.length; i++) {
      selected[i] = values[indexes[i]];
    }
    return selected;
  }
}
