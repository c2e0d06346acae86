package io.github.mla4j.eval;

import io.github.mla4j.Session;
import java.util.function.Consumer;

/**
 * A model's perplexity beside a teacher's on the same tokens.
 *
 * @param value the model's perplexity over the teacher's; above 1 where the model is worse
 * @param standardError of {@code value}, from the spread of the differences token by token: both
 *     find the same tokens hard, so it is far less than those of the perplexities tell
 */
public record PerplexityRatio(
    Perplexity model, Perplexity teacher, double value, double standardError) {

  /**
   * Measures the windows of a text with both.
   *
   * @param model holds a window at least; whatever it holds is forgotten
   * @param teacher the same, of a model with the same vocabulary
   * @param windowDone told the result so far after every window
   * @throws IllegalArgumentException if there is nothing to predict
   */
  public static PerplexityRatio measure(
      Session model, Session teacher, TextWindows windows, Consumer<PerplexityRatio> windowDone) {
    Sums sums = new Sums();
    for (int i = 0; i < windows.requireSome().count(); i++) {
      int[] window = windows.window(i);
      teacher.rewind(0);
      model.rewind(0);
      float[] expected = teacher.score(window);
      float[] found = model.score(window);
      for (int token = 0; token < found.length; token++) {
        sums.add(found[token], expected[token]);
      }
      windowDone.accept(sums.ratio());
    }
    return sums.ratio();
  }

  /** Log-likelihoods of both, token by token. */
  static final class Sums {
    private final Moments model = new Moments();
    private final Moments teacher = new Moments();
    private final Moments losses = new Moments();

    void add(double modelLogLikelihood, double teacherLogLikelihood) {
      model.add(modelLogLikelihood);
      teacher.add(teacherLogLikelihood);
      losses.add(teacherLogLikelihood - modelLogLikelihood);
    }

    PerplexityRatio ratio() {
      double value = Math.exp(losses.mean());
      return new PerplexityRatio(
          Perplexity.of(model), Perplexity.of(teacher), value, value * losses.standardError());
    }
  }
}
