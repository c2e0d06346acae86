package io.github.mla4j.eval;

/**
 * How many of some trials came out.
 *
 * @param hits those that did
 * @param of all of them, at least 1
 */
public record Share(int hits, int of) {

  public Share {
    if (of < 1 || hits < 0 || hits > of) {
      throw new IllegalArgumentException("%d of %d is no share".formatted(hits, of));
    }
  }

  /** From 0 to 1. */
  public double value() {
    return (double) hits / of;
  }

  /** Of {@link #value}, as trials that do not depend on each other have it: √(p(1 − p)/n). */
  public double standardError() {
    return Math.sqrt(value() * (1 - value()) / of);
  }
}
