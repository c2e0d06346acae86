package io.github.mla4j.eval;

import io.github.mla4j.tokenizer.Tokenizer;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * A number hidden in a text and asked for at its end, after Mohtashami and Jaggi (arXiv
 * 2305.16300).
 *
 * @param prompt tokens up to where the key should come; with {@code room} they fill the context
 * @param key five digits
 * @param answer the key's tokens
 * @param room tokens left for the model's answer: the key's and a few more
 */
record PasskeyTask(int[] prompt, String key, int[] answer, int room) {
  private static final String START =
      "A pass key is hidden in the text below. Remember it: you will be asked for it at the end.";

  /** The question's words before the key, both times: the answer is found, not worded anew. */
  private static final String HIDDEN = "The pass key is %s. Do not forget: the pass key is %s.";

  private static final String QUESTION = "What is the pass key? The pass key is";
  private static final Pattern NUMBER = Pattern.compile("\\d+");

  /** So that a longer number is told from the key, and a few words before it do no harm. */
  private static final int SPARE_TOKENS = 4;

  /**
   * A task that depends on the arguments alone.
   *
   * @param context tokens in all
   * @param depth where the key is hidden, in per cent of the filler
   * @param random for the key and the filler's beginning
   * @throws IllegalArgumentException if the context is too short
   */
  static PasskeyTask of(
      Tokenizer tokenizer, PasskeyFiller filler, int context, int depth, SplittableRandom random) {
    String key = Integer.toString(random.nextInt(10_000, 100_000));
    int first = random.nextInt(filler.sentences());
    int[] begin =
        IntStream.concat(
                Arrays.stream(TextTokens.start(tokenizer)),
                Arrays.stream(tokenizer.encode(START, false, false)))
            .toArray();
    int[] hidden = TextTokens.afterSpace(tokenizer, HIDDEN.formatted(key, key));
    int[] question = TextTokens.afterSpace(tokenizer, QUESTION);
    int[] answered = TextTokens.afterSpace(tokenizer, QUESTION + " " + key);
    // What both begin with: some vocabularies end a question otherwise than they go on from it.
    int asked = Arrays.mismatch(question, answered);
    int[] answer = Arrays.copyOfRange(answered, asked, answered.length);
    int room = answer.length + SPARE_TOKENS;
    int frame = begin.length + hidden.length + asked + room;
    if (frame > context) {
      throw new IllegalArgumentException(
          "a context of %d tokens is too short for a pass key: with its question it takes %d"
              .formatted(context, frame));
    }
    PasskeyFiller.Stretch text = filler.stretch(first, context - frame);
    int gap = text.gapAt(depth);
    int[] prompt =
        Stream.of(
                begin,
                Arrays.copyOf(text.tokens(), gap),
                hidden,
                Arrays.copyOfRange(text.tokens(), gap, text.tokens().length),
                Arrays.copyOf(question, asked))
            .flatMapToInt(Arrays::stream)
            .toArray();
    return new PasskeyTask(prompt, key, answer, room);
  }

  /** Whether the first number of an answer is the key. */
  boolean isRight(String answered) {
    Matcher number = NUMBER.matcher(answered);
    return number.find() && number.group().equals(key);
  }
}
