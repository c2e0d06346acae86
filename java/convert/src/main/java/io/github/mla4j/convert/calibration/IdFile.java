package io.github.mla4j.convert.calibration;

import io.github.mla4j.BadFileException;
import io.github.mla4j.convert.source.ModelConfig;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** A file of token ids: one sequence a line, ids separated by spaces or commas. */
public final class IdFile {
  private IdFile() {}

  /**
   * All sequences; blank lines are skipped.
   *
   * @throws BadFileException naming the line, if it holds anything but ids of the vocabulary, or
   *     more than the model's context
   */
  public static int[][] read(Path file, ModelConfig config) throws IOException {
    List<int[]> sequences = new ArrayList<>();
    int number = 0;
    for (String line : Files.readAllLines(file)) {
      number++;
      String trimmed = line.replace(',', ' ').strip();
      if (!trimmed.isEmpty()) {
        sequences.add(sequence(file + ":" + number, trimmed.split("\\s+"), config));
      }
    }
    if (sequences.isEmpty()) {
      throw new BadFileException("%s: holds no token ids".formatted(file));
    }
    return sequences.toArray(int[][]::new);
  }

  private static int[] sequence(String where, String[] words, ModelConfig config) {
    if (words.length > config.contextLength()) {
      throw new BadFileException(
          "%s: %d tokens: expected at most the model's context of %d"
              .formatted(where, words.length, config.contextLength()));
    }
    int[] ids = new int[words.length];
    for (int i = 0; i < ids.length; i++) {
      ids[i] = id(where, words[i], config.vocabularySize());
    }
    return ids;
  }

  private static int id(String where, String word, int vocabulary) {
    int id = -1;
    try {
      id = Integer.parseInt(word);
    } catch (NumberFormatException e) {
      // Told below, with what was expected.
    }
    if (id < 0 || id >= vocabulary) {
      throw new BadFileException(
          "%s: '%s' is not a token id: expected 0 to %d".formatted(where, word, vocabulary - 1));
    }
    return id;
  }
}
