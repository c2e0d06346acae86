package io.github.mla4j.eval;

import io.github.mla4j.Session;
import java.util.Arrays;
import java.util.List;
import java.util.function.DoubleConsumer;
import java.util.stream.IntStream;

/**
 * How far a model's distributions of the next token are from a teacher's: KL(teacher || model) in
 * nats, position by position.
 *
 * @param mean over all positions
 * @param standardError of {@code mean}
 * @param median of the positions
 * @param p99 what 99 % of the positions stay below, interpolated
 * @param max of the positions
 * @param agreement at how many positions both find the same token the likeliest
 * @param perplexity of both, from the same logits
 */
public record Divergence(
    double mean,
    double standardError,
    double median,
    double p99,
    double max,
    Share agreement,
    PerplexityRatio perplexity) {

  /** Tokens that the engine takes through its layers together: more at a time gain nothing. */
  private static final int MOST_ROWS = 256;

  /** Logits of each model held at once: 64 MiB. */
  private static final int MOST_LOGITS = 1 << 24;

  /**
   * Measures the windows of a text, in memory that does not grow with them but for a number a
   * position. The logits are compared on all cores.
   *
   * @param model holds a window at least; whatever it holds is forgotten
   * @param teacher the same, of a model with the same vocabulary
   * @param vocabulary how many tokens both know
   * @param windowDone told the mean so far after every window
   * @throws IllegalArgumentException if there is nothing to predict
   */
  public static Divergence measure(
      Session model,
      Session teacher,
      int vocabulary,
      TextWindows windows,
      DoubleConsumer windowDone) {
    int rows = Math.max(1, Math.min(MOST_ROWS, MOST_LOGITS / vocabulary));
    Positions positions = new Positions(windows.requireSome().predictions());
    for (int i = 0; i < windows.count(); i++) {
      int[] window = windows.window(i);
      teacher.rewind(0);
      model.rewind(0);
      // The last token is predicted and predicts nothing.
      for (int first = 0; first < window.length - 1; first += rows) {
        int last = Math.min(first + rows, window.length - 1);
        compare(teacher, model, window, first, last).forEach(positions::add);
      }
      windowDone.accept(positions.mean.mean());
    }
    return positions.divergence();
  }

  private static List<LogitPair> compare(
      Session teacher, Session model, int[] window, int first, int last) {
    int[] tokens = Arrays.copyOfRange(window, first, last);
    float[][] expected = teacher.logitsAll(tokens);
    float[][] found = model.logitsAll(tokens);
    return IntStream.range(0, tokens.length)
        .parallel()
        .mapToObj(row -> LogitPair.of(expected[row], found[row], window[first + row + 1]))
        .toList();
  }

  /** What was seen so far. */
  private static final class Positions {
    private final double[] divergences;
    private final Moments mean = new Moments();
    private final PerplexityRatio.Sums logLikelihoods = new PerplexityRatio.Sums();
    private int agreed;

    Positions(int count) {
      divergences = new double[count];
    }

    void add(LogitPair pair) {
      divergences[mean.count()] = pair.divergence();
      mean.add(pair.divergence());
      logLikelihoods.add(pair.model(), pair.teacher());
      agreed += pair.agree() ? 1 : 0;
    }

    Divergence divergence() {
      Arrays.sort(divergences);
      return new Divergence(
          mean.mean(),
          mean.standardError(),
          quantile(0.5),
          quantile(0.99),
          divergences[divergences.length - 1],
          new Share(agreed, divergences.length),
          logLikelihoods.ratio());
    }

    /** Between the two nearest of the sorted values. */
    private double quantile(double share) {
      double at = share * (divergences.length - 1);
      int below = (int) at;
      int above = Math.min(below + 1, divergences.length - 1);
      return divergences[below] + (at - below) * (divergences[above] - divergences[below]);
    }
  }
}
