package io.github.mla4j.convert.heal;

import io.github.mla4j.convert.output.Sha256;
import io.github.mla4j.convert.train.TokenWindows;
import io.github.mla4j.tokenizer.Tokenizer;
import java.io.IOException;
import java.nio.charset.MalformedInputException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/**
 * The texts of a run as tokens.
 *
 * @param sha256 of the files' bytes, one file after the other
 * @param tokens all texts, one after the other
 */
record HealData(String sha256, int[] tokens) {

  /**
   * @throws IOException if a file is missing or no UTF-8 text
   */
  static HealData read(List<Path> files, Tokenizer tokenizer) throws IOException {
    IntStream all = IntStream.empty();
    for (Path file : files) {
      // Text that spells a control token stays text.
      int[] tokens = tokenizer.encode(text(file), true, false);
      all = IntStream.concat(all, Arrays.stream(tokens));
    }
    return new HealData(Sha256.of(files), all.toArray());
  }

  private static String text(Path file) throws IOException {
    try {
      return Files.readString(file);
    } catch (MalformedInputException e) {
      throw new IOException(file + " is not UTF-8 text", e);
    }
  }

  /**
   * Deals the tokens out.
   *
   * @throws IllegalArgumentException if there are too few
   */
  TokenWindows windows(int length, long seed) {
    if (tokens.length < 2 * length) {
      throw new IllegalArgumentException(
          "the data have %,d tokens: expected at least %,d for windows of %,d"
              .formatted(tokens.length, 2 * length, length));
    }
    return new TokenWindows(tokens, length, seed);
  }
}
