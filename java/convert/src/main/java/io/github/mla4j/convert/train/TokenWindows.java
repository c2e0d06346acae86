package io.github.mla4j.convert.train;

import java.util.SplittableRandom;

/**
 * Deals out a long sequence of tokens as windows of one length, every epoch in another order and
 * cut at other places. What batch a step gets depends on the seed and the step alone, so a resumed
 * run goes on as if it had never stopped. Not thread-safe.
 */
public final class TokenWindows {
  private final int[] tokens;
  private final int length;
  private final long seed;
  private final int perEpoch;
  private long epoch = -1;
  private int shift;
  private int[] order = {};

  /**
   * @param tokens the text
   * @param length tokens that the model sees of a window; it holds one more, the last target
   */
  public TokenWindows(int[] tokens, int length, long seed) {
    this.tokens = tokens;
    this.length = length;
    this.seed = seed;
    perEpoch = (tokens.length - length) / length;
    if (perEpoch < 1) {
      throw new IllegalArgumentException(
          "text of %d tokens, expected at least %d for windows of %d"
              .formatted(tokens.length, 2 * length, length));
    }
  }

  /** Tokens that the model sees of a window. */
  public int length() {
    return length;
  }

  /** Windows dealt out before the order is drawn anew. */
  public int perEpoch() {
    return perEpoch;
  }

  /**
   * One batch.
   *
   * @param step the first being 0
   * @return {@code batch} windows of length + 1 side by side
   */
  public long[] batch(long step, int batch) {
    long[] out = new long[batch * (length + 1)];
    for (int row = 0; row < batch; row++) {
      long index = step * batch + row;
      enter(index / perEpoch);
      int start = shift + order[(int) (index % perEpoch)] * length;
      for (int i = 0; i <= length; i++) {
        out[row * (length + 1) + i] = tokens[start + i];
      }
    }
    return out;
  }

  private void enter(long wanted) {
    if (wanted == epoch) {
      return;
    }
    epoch = wanted;
    SplittableRandom random = new SplittableRandom(seed * 1_000_003 + epoch);
    // The last window reads one token beyond its end.
    shift = random.nextInt(Math.min(length, tokens.length - perEpoch * length));
    order = new int[perEpoch];
    for (int i = 0; i < perEpoch; i++) {
      int j = random.nextInt(i + 1);
      order[i] = order[j];
      order[j] = i;
    }
  }
}
