package io.github.mla4j.eval;

import io.github.mla4j.Session;
import io.github.mla4j.TokenStream;
import io.github.mla4j.tokenizer.Tokenizer;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.function.Consumer;

/**
 * How often a model finds a number that was hidden at some depth of a long text.
 *
 * @param context tokens of text, question and answer
 * @param depth where the number was hidden, in per cent: 0 is the beginning of the text
 * @param found how often the model gave it, choosing the likeliest token each time
 * @param logProbability mean over the trials of ln p(number), told to the model token by token
 * @param standardError of {@code logProbability}; NaN for one trial
 */
public record Passkey(
    int context, int depth, Share found, double logProbability, double standardError) {

  /**
   * Hides and asks so many times, each with a number and a beginning of the text of its own; they
   * follow from seed, context, depth and the trial's number alone.
   *
   * @param session holds the context at least; whatever it holds is forgotten
   * @param tokenizer of its model
   * @param depth 0 to 100
   * @param trials at least 1
   * @param trialDone told after every trial how many of them succeeded
   * @throws IllegalArgumentException if the context is too short for the question alone
   */
  public static Passkey measure(
      Session session,
      Tokenizer tokenizer,
      PasskeyFiller filler,
      int context,
      int depth,
      int trials,
      long seed,
      Consumer<Share> trialDone) {
    SplittableRandom random = new SplittableRandom((seed * 31 + context) * 101 + depth);
    int found = 0;
    Moments logProbabilities = new Moments();
    for (int trial = 0; trial < trials; trial++) {
      PasskeyTask task = PasskeyTask.of(tokenizer, filler, context, depth, random);
      int last = task.prompt().length - 1;
      session.rewind(0);
      session.append(Arrays.copyOf(task.prompt(), last));
      logProbabilities.add(TextTokens.score(session, task.prompt()[last], task.answer()));
      session.rewind(last);
      found += task.isRight(answer(session, task.prompt()[last], task.room())) ? 1 : 0;
      trialDone.accept(new Share(found, trial + 1));
    }
    return new Passkey(
        context,
        depth,
        new Share(found, trials),
        logProbabilities.mean(),
        logProbabilities.standardError());
  }

  private static String answer(Session session, int last, int most) {
    try (TokenStream stream =
        session.generate(new int[] {last}, options -> options.maxTokens(most).greedy())) {
      return stream.text();
    }
  }
}
