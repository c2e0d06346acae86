package io.github.mla4j.eval;

import io.github.mla4j.tokenizer.Tokenizer;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.text.BreakIterator;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/**
 * The text that a pass key is hidden in: sentences as tokens, one after the other, round and round.
 */
public final class PasskeyFiller {
  private static final String BUNDLED = "passkey-filler.txt";

  private final List<int[]> sentences;

  private PasskeyFiller(List<int[]> sentences) {
    this.sentences = sentences;
  }

  /** The text that comes with the program. It has no digits. */
  public static PasskeyFiller bundled(Tokenizer tokenizer) throws IOException {
    try (InputStream text = PasskeyFiller.class.getResourceAsStream(BUNDLED)) {
      return of(tokenizer, new String(text.readAllBytes(), StandardCharsets.UTF_8));
    }
  }

  /**
   * The sentences of a text.
   *
   * @throws IllegalArgumentException if it has none
   */
  public static PasskeyFiller of(Tokenizer tokenizer, String text) {
    List<int[]> sentences = new ArrayList<>();
    BreakIterator ends = BreakIterator.getSentenceInstance(Locale.ROOT);
    ends.setText(text);
    int begin = ends.first();
    for (int end = ends.next(); end != BreakIterator.DONE; end = ends.next()) {
      String sentence = text.substring(begin, end).strip().replaceAll("\\s+", " ");
      if (!sentence.isEmpty()) {
        sentences.add(TextTokens.afterSpace(tokenizer, sentence));
      }
      begin = end;
    }
    if (sentences.isEmpty()) {
      throw new IllegalArgumentException("the text to hide a pass key in has no sentence");
    }
    return new PasskeyFiller(sentences);
  }

  int sentences() {
    return sentences.size();
  }

  /**
   * Exactly so many tokens: whole sentences but for the first, whose beginning may be missing.
   *
   * @param first the sentence to begin with
   */
  Stretch stretch(int first, int tokens) {
    List<int[]> taken = new ArrayList<>();
    int length = 0;
    for (int i = first; length < tokens; i++) {
      int[] sentence = sentences.get(i % sentences.size());
      taken.add(sentence);
      length += sentence.length;
    }
    int surplus = length - tokens;
    int[] all = taken.stream().flatMapToInt(Arrays::stream).skip(surplus).toArray();
    List<Integer> ends = new ArrayList<>();
    ends.add(0);
    int end = -surplus;
    for (int[] sentence : taken) {
      end += sentence.length;
      if (end > 0) {
        ends.add(end);
      }
    }
    return new Stretch(all, ends);
  }

  /**
   * A piece of the text.
   *
   * @param gaps positions where no sentence is cut by what is put there: 0, the end of the last
   *     sentence, and all between
   */
  record Stretch(int[] tokens, List<Integer> gaps) {

    /** The gap that is the nearest to a share of the length, in per cent. */
    int gapAt(int depth) {
      double wanted = depth / 100.0 * tokens.length;
      int nearest = 0;
      for (int gap : gaps) {
        if (Math.abs(gap - wanted) < Math.abs(nearest - wanted)) {
          nearest = gap;
        }
      }
      return nearest;
    }
  }
}
