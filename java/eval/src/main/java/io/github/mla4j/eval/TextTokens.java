package io.github.mla4j.eval;

import io.github.mla4j.Session;
import io.github.mla4j.tokenizer.Tokenizer;

/** Parts of a prompt as tokens, so that side by side they are what the whole text would be. */
final class TextTokens {
  private TextTokens() {}

  /** What a sequence begins with: BOS for models that are used to it, nothing for others. */
  static int[] start(Tokenizer tokenizer) {
    return tokenizer.vocabulary().addsBos() ? tokenizer.bos().stream().toArray() : new int[0];
  }

  /** A text that follows another after a space. */
  static int[] afterSpace(Tokenizer tokenizer, String text) {
    // Some vocabularies put the space before a text themselves.
    String space = tokenizer.vocabulary().addsSpacePrefix() ? "" : " ";
    return tokenizer.encode(space + text, false, false);
  }

  /**
   * ln p(continuation | what the session holds, last); both are appended.
   *
   * @param last the token before the continuation
   */
  static double score(Session session, int last, int[] continuation) {
    int[] tokens = new int[1 + continuation.length];
    tokens[0] = last;
    System.arraycopy(continuation, 0, tokens, 1, continuation.length);
    double sum = 0;
    for (float logProbability : session.score(tokens)) {
      sum += logProbability;
    }
    return sum;
  }
}
