package io.github.mla4j;

/**
 * What has to be read and multiplied at least, however well it is done: every weight that is
 * multiplied with once for all tokens of a step (a single token, a chunk of a prompt), and of the
 * embedding the tokens' rows; of the cache what attention reads, once for all heads and all tokens
 * of the step, and what is written of new tokens. Scratch memory is not counted.
 *
 * @param weightBytes of weights, as the file has them
 * @param cacheBytes of the cache, scales and key scalars included
 * @param floatMultiplyAdds multiplications, each with an addition, of weights and cache rows that
 *     are held as floats (F32, F16, BF16), and of activations
 * @param integerMultiplyAdds the same of those that are held as integers
 */
public record Work(
    double weightBytes, double cacheBytes, double floatMultiplyAdds, double integerMultiplyAdds) {
  /** Nothing. */
  public static final Work NONE = new Work(0, 0, 0, 0);

  /** Both, one after the other. */
  public Work plus(Work other) {
    return new Work(
        weightBytes + other.weightBytes,
        cacheBytes + other.cacheBytes,
        floatMultiplyAdds + other.floatMultiplyAdds,
        integerMultiplyAdds + other.integerMultiplyAdds);
  }

  /** The same for so many sequences at once: weights are read once for all of them. */
  public Work together(int sequences) {
    return new Work(
        weightBytes,
        sequences * cacheBytes,
        sequences * floatMultiplyAdds,
        sequences * integerMultiplyAdds);
  }

  /** Of weights and cache together. */
  public double bytes() {
    return weightBytes + cacheBytes;
  }

  /** Of floats and integers together. */
  public double multiplyAdds() {
    return floatMultiplyAdds + integerMultiplyAdds;
  }
}
