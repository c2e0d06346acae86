package io.github.mla4j.eval;

import io.github.mla4j.Session;
import io.github.mla4j.tokenizer.Tokenizer;
import java.util.List;
import java.util.function.Consumer;

/**
 * How often a model finds the right ending the likeliest, by three ways to compare endings of
 * different lengths.
 *
 * @param byToken by the mean log-probability of a token, as llama.cpp has it
 * @param byCharacter by the log-probability over the number of characters: acc_norm of
 *     lm-evaluation-harness
 * @param raw by the log-probability of the whole ending: acc of lm-evaluation-harness
 */
public record HellaSwag(Share byToken, Share byCharacter, Share raw) {

  /** How many tasks were asked. */
  public int tasks() {
    return raw.of();
  }

  /**
   * Asks every task. A context is computed once; a task too long for the session loses the
   * beginning of its context.
   *
   * @param session whatever it holds is forgotten
   * @param tokenizer of its model
   * @param context tokens that the session holds
   * @param taskDone told the result so far after every task
   * @throws IllegalArgumentException if there are no tasks, or naming the line of one whose endings
   *     leave no room for its context
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
    Counts counts = new Counts();
    for (HellaSwagTask task : tasks) {
      counts.add(EndingScores.of(session, tokenizer, task, context), task.right());
      taskDone.accept(counts.shares());
    }
    return counts.shares();
  }

  /** Right answers so far. */
  private static final class Counts {
    private int byToken;
    private int byCharacter;
    private int raw;
    private int tasks;

    void add(EndingScores scores, int right) {
      byToken += scores.likeliestByToken() == right ? 1 : 0;
      byCharacter += scores.likeliestByCharacter() == right ? 1 : 0;
      raw += scores.likeliest() == right ? 1 : 0;
      tasks++;
    }

    HellaSwag shares() {
      return new HellaSwag(
          new Share(byToken, tasks), new Share(byCharacter, tasks), new Share(raw, tasks));
    }
  }
}
