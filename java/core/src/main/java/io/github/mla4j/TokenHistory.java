package io.github.mla4j;

import java.util.Arrays;

/** The tokens of a session's sequence. Not thread-safe. */
final class TokenHistory {
  private int[] tokens = new int[64];
  private int length;

  int length() {
    return length;
  }

  void add(int token) {
    if (length == tokens.length) {
      tokens = Arrays.copyOf(tokens, length * 2);
    }
    tokens[length++] = token;
  }

  void addAll(int[] more) {
    if (length + more.length > tokens.length) {
      tokens = Arrays.copyOf(tokens, Math.max(length * 2, length + more.length));
    }
    System.arraycopy(more, 0, tokens, length, more.length);
    length += more.length;
  }

  TokenHistory copy() {
    TokenHistory copy = new TokenHistory();
    copy.addAll(Arrays.copyOf(tokens, length));
    return copy;
  }

  int[] toArray() {
    return Arrays.copyOf(tokens, length);
  }

  void truncate(int newLength) {
    length = Math.min(length, newLength);
  }

  /** How many tokens at the beginning are those of {@code other}. */
  int commonPrefix(int[] other) {
    int mismatch = Arrays.mismatch(tokens, 0, length, other, 0, other.length);
    return mismatch < 0 ? length : mismatch;
  }
}
