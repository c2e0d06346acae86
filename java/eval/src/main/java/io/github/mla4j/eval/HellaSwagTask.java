package io.github.mla4j.eval;

import io.github.mla4j.BadFileException;
import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * A context with four endings, one of which is right (Zellers et al., arXiv 1905.07830).
 *
 * @param place file and line where it begins, for errors
 * @param context what the endings continue
 * @param right index of the right ending
 * @param endings without the space that parts them from the context
 */
public record HellaSwagTask(String place, String context, int right, List<String> endings) {
  private static final int ENDINGS = 4;
  private static final int LINES = 2 + ENDINGS;

  public HellaSwagTask {
    endings = List.copyOf(endings);
  }

  /**
   * Reads tasks of six lines each: the context, the right ending's index, four endings. What the
   * data's sources left in brackets is taken out, as lm-evaluation-harness does.
   *
   * @throws BadFileException naming the line that is not as it should be
   */
  public static List<HellaSwagTask> read(Path file) throws IOException {
    List<String> lines = lines(file);
    if (lines.isEmpty() || lines.size() % LINES != 0) {
      throw new BadFileException(
          "%s: has %d lines, expected six a task".formatted(file, lines.size()));
    }
    List<HellaSwagTask> tasks = new ArrayList<>();
    for (int first = 0; first < lines.size(); first += LINES) {
      String index = lines.get(first + 1).strip();
      if (!index.matches("[0-3]")) {
        throw new BadFileException(
            "%s: line %d is '%s', expected the right ending's index, 0 to 3"
                .formatted(file, first + 2, index));
      }
      List<String> endings = new ArrayList<>();
      for (int line = first + 2; line < first + LINES; line++) {
        endings.add(text(file, lines, line, "an ending"));
      }
      tasks.add(
          new HellaSwagTask(
              "%s: line %d".formatted(file, first + 1),
              text(file, lines, first, "a context"),
              Integer.parseInt(index),
              endings));
    }
    return tasks;
  }

  private static List<String> lines(Path file) throws IOException {
    try {
      List<String> lines = Files.readAllLines(file);
      while (lines.size() % LINES != 0 && lines.get(lines.size() - 1).isBlank()) {
        lines.remove(lines.size() - 1);
      }
      return lines;
    } catch (CharacterCodingException e) {
      throw new IOException(file + ": not UTF-8 text", e);
    }
  }

  private static String text(Path file, List<String> lines, int line, String expected) {
    String text = withoutBrackets(lines.get(line).strip());
    if (text.isBlank()) {
      throw new BadFileException(
          "%s: line %d is '%s', expected %s".formatted(file, line + 1, lines.get(line), expected));
    }
    return text;
  }

  /** {@code preprocess} of lm-evaluation-harness' task. */
  private static String withoutBrackets(String text) {
    return text.replace(" [title]", ". ").replaceAll("\\[.*?\\]", "").replace("  ", " ");
  }
}
