package io.github.mla4j.eval;

import io.github.mla4j.Session;
import java.util.OptionalInt;
import java.util.function.Consumer;

/**
 * How well a model predicts a text: exp of the mean negative log-likelihood per token.
 *
 * @param value the perplexity; 1 is certainty, the vocabulary's size is blind guessing
 * @param standardError of {@code value}, from the spread of the tokens' log-likelihoods; NaN for
 *     one token
 * @param tokens how many tokens were predicted
 */
public record Perplexity(double value, double standardError, int tokens) {

  /** As {@link #measure(Session, TextWindows, Consumer)}, for tokens and without telling. */
  public static Perplexity measure(Session session, OptionalInt bos, int[] ids, int window) {
    return measure(session, new TextWindows(bos, ids, window), soFar -> {});
  }

  /**
   * Measures the windows of a text.
   *
   * @param session holds a window at least; whatever it holds is forgotten
   * @param windowDone told the perplexity so far after every window
   * @throws IllegalArgumentException if there is nothing to predict
   */
  public static Perplexity measure(
      Session session, TextWindows windows, Consumer<Perplexity> windowDone) {
    Moments seen = new Moments();
    for (int i = 0; i < windows.requireSome().count(); i++) {
      session.rewind(0);
      for (float logProbability : session.score(windows.window(i))) {
        seen.add(logProbability);
      }
      windowDone.accept(of(seen));
    }
    return of(seen);
  }

  static Perplexity of(Moments logLikelihoods) {
    double value = Math.exp(-logLikelihoods.mean());
    return new Perplexity(value, value * logLikelihoods.standardError(), logLikelihoods.count());
  }
}
