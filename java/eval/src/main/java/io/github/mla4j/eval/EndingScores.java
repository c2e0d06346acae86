package io.github.mla4j.eval;

import io.github.mla4j.Session;
import io.github.mla4j.tokenizer.Tokenizer;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntToDoubleFunction;

/** What a model thinks of a task's endings: ln p of each, and its length. */
final class EndingScores {
  /** The answer of a model that gives no numbers; it is never right. */
  private static final int NONE = -1;

  private final double[] logProbabilities;
  private final int[] tokens;
  private final int[] characters;

  private EndingScores(List<String> endings, int[][] tokens, double[] logProbabilities) {
    this.logProbabilities = logProbabilities;
    this.tokens = Arrays.stream(tokens).mapToInt(ending -> ending.length).toArray();
    characters =
        endings.stream().mapToInt(ending -> ending.codePointCount(0, ending.length())).toArray();
  }

  /** Scores the endings, the context computed once and cut at its beginning where it is long. */
  static EndingScores of(Session session, Tokenizer tokenizer, HellaSwagTask task, int most) {
    int[][] endings =
        task.endings().stream()
            .map(ending -> TextTokens.afterSpace(tokenizer, ending))
            .toArray(int[][]::new);
    int longest = Arrays.stream(endings).mapToInt(ending -> ending.length).max().orElse(0);
    int[] context = context(tokenizer, task, most - longest);
    session.rewind(0);
    // The context's last token comes again with each ending, so that its answer is scored.
    int shared = context.length - 1;
    if (shared > 0) {
      session.append(Arrays.copyOf(context, shared));
    }
    double[] logProbabilities = new double[endings.length];
    for (int i = 0; i < endings.length; i++) {
      session.rewind(shared);
      logProbabilities[i] = TextTokens.score(session, context[shared], endings[i]);
    }
    return new EndingScores(task.endings(), endings, logProbabilities);
  }

  private static int[] context(Tokenizer tokenizer, HellaSwagTask task, int most) {
    int[] start = TextTokens.start(tokenizer);
    int[] ids = tokenizer.encode(task.context(), false, false);
    int kept = Math.min(ids.length, most - start.length);
    if (kept < 1) {
      throw new IllegalArgumentException(
          task.place() + ": the longest ending leaves no room for the context");
    }
    int[] context = Arrays.copyOf(start, start.length + kept);
    System.arraycopy(ids, ids.length - kept, context, start.length, kept);
    return context;
  }

  /** Index of the likeliest ending. */
  int likeliest() {
    return best(i -> logProbabilities[i]);
  }

  /** The same by the mean log-probability of a token. */
  int likeliestByToken() {
    return best(i -> logProbabilities[i] / tokens[i]);
  }

  /** The same by the mean log-probability of a character. */
  int likeliestByCharacter() {
    return best(i -> logProbabilities[i] / characters[i]);
  }

  private int best(IntToDoubleFunction score) {
    int best = NONE;
    double highest = Double.NEGATIVE_INFINITY;
    for (int i = 0; i < logProbabilities.length; i++) {
      if (score.applyAsDouble(i) > highest) {
        best = i;
        highest = score.applyAsDouble(i);
      }
    }
    return best;
  }
}
