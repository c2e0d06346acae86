package io.github.mla4j.eval.sweep;

/**
 * How fast a session takes tokens that follow so many others, and what it holds then.
 *
 * @param depth tokens in the cache beforehand
 * @param decodeTokensPerSecond single tokens, each waiting for its logits: by the median of their
 *     times
 * @param decodeLow the same by the upper quartile of their times
 * @param decodeHigh the same by the lower quartile
 * @param decodedTokens how many were timed
 * @param prefillTokensPerSecond tokens that come together, after those
 * @param prefilledTokens how many came together
 * @param cacheBytes of the cache afterwards, whole pages
 * @param workspaceBytes of the scratch memory besides it
 */
public record DepthSpeed(
    int depth,
    double decodeTokensPerSecond,
    double decodeLow,
    double decodeHigh,
    int decodedTokens,
    double prefillTokensPerSecond,
    int prefilledTokens,
    long cacheBytes,
    long workspaceBytes) {

  /** Cache and scratch memory together. */
  public long memoryBytes() {
    return cacheBytes + workspaceBytes;
  }
}
