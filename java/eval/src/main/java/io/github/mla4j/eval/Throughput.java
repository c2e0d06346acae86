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
   * Feeds the first {@code prompt} of {@code ids} at once and the rest singly.
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
    long filling = TokenClock.together(session, Arrays.copyOf(ids, prompt));
    int decoded = ids.length - prompt;
    long decoding = TokenClock.singly(session, Arrays.copyOfRange(ids, prompt, ids.length));
    return new Throughput(prompt * 1e9 / filling, decoded * 1e9 / decoding);
  }
}
