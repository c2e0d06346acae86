package io.github.mla4j;

/**
 * What a generation took.
 *
 * @param promptTokens tokens that were evaluated before the first was generated; those that the
 *     session knew already are not counted
 * @param generatedTokens tokens that were generated, those behind a stop text included
 */
public record Timings(
    int promptTokens, long promptNanos, int generatedTokens, long generatedNanos) {

  public double promptTokensPerSecond() {
    return rate(promptTokens, promptNanos);
  }

  public double generatedTokensPerSecond() {
    return rate(generatedTokens, generatedNanos);
  }

  private static double rate(int tokens, long nanos) {
    return nanos == 0 ? 0 : tokens * 1e9 / nanos;
  }
}
