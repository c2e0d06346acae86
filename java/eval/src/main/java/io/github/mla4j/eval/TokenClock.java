package io.github.mla4j.eval;

import io.github.mla4j.Session;

/**
 * How long a session takes for tokens. They are given, not sampled, so that two models do the same
 * work.
 */
public final class TokenClock {
  private TokenClock() {}

  /** Appends them at once, as a prompt; nanoseconds, at least 1. */
  public static long together(Session session, int[] tokens) {
    long start = System.nanoTime();
    session.append(tokens);
    return Math.max(1, System.nanoTime() - start);
  }

  /** Appends them one at a time, each waiting for the logits; nanoseconds in all, at least 1. */
  public static long singly(Session session, int[] tokens) {
    int[] single = new int[1];
    long start = System.nanoTime();
    for (int token : tokens) {
      single[0] = token;
      session.append(single);
    }
    return Math.max(1, System.nanoTime() - start);
  }
}
