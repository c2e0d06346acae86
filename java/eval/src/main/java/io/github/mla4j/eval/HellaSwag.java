package io.github.mla4j.eval;

import io.github.mla4j.Session;
import io.github.mla4j.tokenizer.Tokenizer;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalInt;
import java.util.function.Consumer;

/**
 * How often a model finds the right ending the likeliest, by the mean log-probability of its
 * tokens.
 *
 * @param accuracy share of tasks answered rightly
 * @param standardError of {@code accuracy}
 * @param tasks how many were asked
 */
public record HellaSwag(double accuracy, double standardError, int tasks) {

  /**
   * Asks every task. A context is computed once; a task too long for the session loses the
   * beginning of its context.
   *
   * @param session whatever it holds is forgotten
   * @param tokenizer of its model
   * @param context tokens that the session holds
   * @param taskDone told the result so far after every task
   * @throws IllegalArgumentException if there are no tasks
   */
  public static HellaSwag measure(
      Session session,
      Tokenizer tokenizer,
      List<HellaSwagTask> tasks,
      int context,
      Consumer<HellaSwag> taskDone) {
    if (tasks.isEmpty()) {
      throw new IllegalArgumentException("HellaSwag needs at least one task");
    }
    int right = 0;
    int done = 0;
    for (HellaSwagTask task : tasks) {
      right += answer(session, tokenizer, task, context) == task.right() ? 1 : 0;
      done++;
      taskDone.accept(of(right, done));
    }
    return of(right, done);
  }

  private static HellaSwag of(int right, int done) {
    double share = (double) right / done;
    return new HellaSwag(share, Math.sqrt(share * (1 - share) / done), done);
  }

  private static int answer(Session session, Tokenizer tokenizer, HellaSwagTask task, int context) {
    // Some vocabularies put the space before a text themselves.
    String space = tokenizer.vocabulary().addsSpacePrefix() ? "" : " ";
    int[][] endings =
        task.endings().stream()
            .map(ending -> tokenizer.encode(space + ending, false, false))
            .toArray(int[][]::new);
    int longest = Arrays.stream(endings).mapToInt(ending -> ending.length).max().orElse(0);
    int[] start = start(tokenizer, task.context(), context - longest);
    session.rewind(0);
    // The context's last token comes again with each ending, so that its answer is scored.
    int shared = start.length - 1;
    if (shared > 0) {
      session.append(Arrays.copyOf(start, shared));
    }
    int best = 0;
    double highest = Double.NEGATIVE_INFINITY;
    for (int i = 0; i < endings.length; i++) {
      int[] tokens = new int[1 + endings[i].length];
      tokens[0] = start[shared];
      System.arraycopy(endings[i], 0, tokens, 1, endings[i].length);
      session.rewind(shared);
      double sum = 0;
      for (float logProbability : session.score(tokens)) {
        sum += logProbability;
      }
      double mean = sum / endings[i].length;
      if (mean > highest) {
        highest = mean;
        best = i;
      }
    }
    return best;
  }

  private static int[] start(Tokenizer tokenizer, String text, int most) {
    int[] ids = tokenizer.encode(text, false, false);
    OptionalInt bos = tokenizer.vocabulary().addsBos() ? tokenizer.bos() : OptionalInt.empty();
    int begin = (int) bos.stream().count();
    int kept = Math.min(ids.length, most - begin);
    if (kept < 1) {
      throw new IllegalArgumentException(
          "a task's endings leave no room for its context in %d tokens".formatted(most));
    }
    int[] start = new int[begin + kept];
    bos.ifPresent(id -> start[0] = id);
    System.arraycopy(ids, ids.length - kept, start, begin, kept);
    return start;
  }
}
