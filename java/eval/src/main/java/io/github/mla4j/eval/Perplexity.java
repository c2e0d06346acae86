package io.github.mla4j.eval;

import io.github.mla4j.Session;
import java.util.Arrays;
import java.util.OptionalInt;
import java.util.function.Consumer;
import java.util.stream.IntStream;

/**
 * How well a model predicts a text: exp of the mean negative log-likelihood per token.
 *
 * @param value the perplexity; 1 is certainty, the vocabulary's size is blind guessing
 * @param standardError of {@code value}, from the spread of the tokens' log-likelihoods
 * @param tokens how many tokens were predicted
 */
public record Perplexity(double value, double standardError, int tokens) {

  /**
   * Measures consecutive windows of a text, each from an empty cache; every position of a window
   * after its first is predicted and counted.
   *
   * @param session whatever it holds is forgotten; left with the last window
   * @param bos what every window begins with, for models that are used to it; empty for others
   * @param ids the text's tokens, without that
   * @param window tokens a window, at least 2 and at most the session's context; a rest shorter
   *     than 2 is left out
   * @throws IllegalArgumentException if there is nothing to predict
   */
  public static Perplexity measure(Session session, OptionalInt bos, int[] ids, int window) {
    return measure(session, bos, ids, window, done -> {});
  }

  /** How many windows {@link #measure} cuts a text into, a short last one included. */
  public static int windows(OptionalInt bos, int tokens, int window) {
    int text = window - (int) bos.stream().count();
    return (tokens + text - 1) / text;
  }

  /**
   * The same, telling on the way.
   *
   * @param windowDone told the perplexity so far after every window
   */
  public static Perplexity measure(
      Session session, OptionalInt bos, int[] ids, int window, Consumer<Perplexity> windowDone) {
    if (window < 2) {
      throw new IllegalArgumentException("a window is " + window + ", expected at least 2 tokens");
    }
    int[] start = bos.stream().toArray();
    LogLikelihoods seen = new LogLikelihoods();
    int text = window - start.length;
    for (int first = 0; first < ids.length; first += text) {
      int[] tokens = windowOf(start, ids, first, Math.min(first + text, ids.length));
      if (tokens.length >= 2) {
        session.rewind(0);
        for (float logProbability : session.score(tokens)) {
          seen.add(logProbability);
        }
        windowDone.accept(seen.perplexity());
      }
    }
    return seen.perplexity();
  }

  private static int[] windowOf(int[] start, int[] ids, int first, int last) {
    return IntStream.concat(Arrays.stream(start), Arrays.stream(ids, first, last)).toArray();
  }

  /** Running mean and variance (Welford), so that long texts lose no precision. */
  private static final class LogLikelihoods {
    private int count;
    private double mean;
    private double squares;

    void add(double value) {
      count++;
      double before = value - mean;
      mean += before / count;
      squares += before * (value - mean);
    }

    Perplexity perplexity() {
      if (count == 0) {
        throw new IllegalArgumentException("perplexity needs a text of at least 2 tokens");
      }
      double value = Math.exp(-mean);
      double variance = count > 1 ? squares / (count - 1) : 0;
      return new Perplexity(value, value * Math.sqrt(variance / count), count);
    }
  }
}
