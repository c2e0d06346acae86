package io.github.mla4j.eval;

import io.github.mla4j.Session;
import java.util.Arrays;

/**
 * How fast a session takes tokens.
 *
 * @param prefillTokensPerSecond when many tokens come at once
 * @param decodeTokensPerSecond when they come one at a time, each waiting for the logits
 */
public record Throughput(double prefillTokensPerSecond, double decodeTokensPerSecond) {

  /**
   * Feeds the first {@code prompt} of {@code ids} at once and the rest singly. The tokens are
   * given, not sampled, so that two models do the same work.
   *
   * @param session whatever it holds is forgotten
   * @param ids more than {@code prompt} tokens, at most the session's context
   * @param prompt at least 1
   */
  public static Throughput measure(Session session, int[] ids, int prompt) {
    if (prompt < 1 || prompt >= ids.length) {
      throw new IllegalArgumentException(
          "a prompt of %d tokens leaves nothing of %d to decode".formatted(prompt, ids.length));
    }
    session.rewind(0);
    long start = System.nanoTime();
    session.append(Arrays.copyOf(ids, prompt));
    long filled = System.nanoTime();
    int[] single = new int[1];
    for (int i = prompt; i < ids.length; i++) {
      single[0] = ids[i];
      session.append(single);
    }
    long decoded = System.nanoTime();
    return new Throughput(
        prompt * 1e9 / (filled - start), (ids.length - prompt) * 1e9 / (decoded - filled));
  }
}
