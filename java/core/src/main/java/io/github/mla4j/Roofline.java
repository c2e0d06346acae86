package io.github.mla4j;

/**
 * What the machine gives at most, to so many threads together, as {@link Mla#measureRoofline}
 * measured it.
 *
 * @param threads that took part
 * @param bytesPerSecond read from memory, far beyond what caches hold
 * @param floatMultiplyAddsPerSecond multiplications of floats, each with an addition, in registers
 *     of the instruction set in use
 * @param integerMultiplyAddsPerSecond the same of the narrowest integers that it multiplies: 8 bits
 *     with AVX-512 VNNI, AVX2 and sdot, otherwise 16
 */
public record Roofline(
    int threads,
    double bytesPerSecond,
    double floatMultiplyAddsPerSecond,
    double integerMultiplyAddsPerSecond) {

  /** The least time to read what the work asks for, if nothing of it is in a cache. */
  public double readingSeconds(Work work) {
    return work.bytes() / bytesPerSecond;
  }

  /** The least time to multiply what the work asks for. */
  public double multiplyingSeconds(Work work) {
    return work.floatMultiplyAdds() / floatMultiplyAddsPerSecond
        + work.integerMultiplyAdds() / integerMultiplyAddsPerSecond;
  }

  /** The least time of all: of both, which may go on side by side, the longer one. */
  public double leastSeconds(Work work) {
    return Math.max(readingSeconds(work), multiplyingSeconds(work));
  }
}
