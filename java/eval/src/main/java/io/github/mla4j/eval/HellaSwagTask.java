package io.github.mla4j.eval;

import io.github.mla4j.BadFileException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * A context with four endings, one of which is right (Zellers et al., arXiv 1905.07830).
 *
 * @param context what the endings continue
 * @param right index of the right ending
 * @param endings without the space that parts them from the context
 */
public record HellaSwagTask(String context, int right, List<String> endings) {
  private static final int ENDINGS = 4;
  private static final int LINES = 2 + ENDINGS;

  public HellaSwagTask {
    endings = List.copyOf(endings);
  }

  /**
   * Reads tasks of six lines each: the context, the right ending's index, four endings.
   *
   * @throws BadFileException naming the line that is not as it should be
   */
  public static List<HellaSwagTask> read(Path file) throws IOException {
    List<String> lines = Files.readAllLines(file);
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
      tasks.add(
          new HellaSwagTask(
              lines.get(first), Integer.parseInt(index), lines.subList(first + 2, first + LINES)));
    }
    return tasks;
  }
}
