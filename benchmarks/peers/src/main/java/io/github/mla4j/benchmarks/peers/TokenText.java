package io.github.mla4j.benchmarks.peers;

import io.github.mla4j.Model;
import io.github.mla4j.tokenizer.Tokenizer;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.regex.Pattern;
import java.util.stream.IntStream;

/**
 * The tokens that every peer is fed: words drawn at random, always the same ones, whose text
 * encodes to just them, so that peers that take text alone do the same work.
 *
 * @param pieces texts by token; empty where a model's vocabulary does not allow that
 */
record TokenText(int[] tokens, List<String> pieces) {
  private static final Pattern WORD = Pattern.compile(" [a-z]{2,}");
  private static final int FEWEST_WORDS = 100;

  static TokenText of(Model model, int count) {
    return model.hasVocabulary()
        ? of(model.tokenizer(), count)
        : anyTokens(model.info().vocabularySize(), count);
  }

  static TokenText of(Tokenizer tokenizer, int count) {
    int[] words =
        IntStream.range(0, tokenizer.size())
            .filter(id -> WORD.matcher(tokenizer.decode(id)).matches())
            .toArray();
    if (words.length >= FEWEST_WORDS) {
      int[] tokens = new Random(1).ints(count, 0, words.length).map(i -> words[i]).toArray();
      List<String> pieces = Arrays.stream(tokens).mapToObj(id -> tokenizer.decode(id)).toList();
      if (Arrays.equals(tokens, tokenizer.encode(String.join("", pieces), false, false))) {
        return new TokenText(tokens, pieces);
      }
    }
    return anyTokens(tokenizer.size(), count);
  }

  private static TokenText anyTokens(int vocabulary, int count) {
    return new TokenText(new Random(1).ints(count, 0, vocabulary).toArray(), List.of());
  }
}
