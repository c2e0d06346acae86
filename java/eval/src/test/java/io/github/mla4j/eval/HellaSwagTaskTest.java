package io.github.mla4j.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.mla4j.BadFileException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class HellaSwagTaskTest {
  @TempDir private Path folder;

  @Test
  void readsSixLinesATask() throws IOException {
    List<HellaSwagTask> tasks =
        HellaSwagTask.read(file("A man\n2\na\nb\nc\nd\nShe\n0\ne\nf\ng\nh\n"));
    assertEquals(
        List.of(
            new HellaSwagTask("A man", 2, List.of("a", "b", "c", "d")),
            new HellaSwagTask("She", 0, List.of("e", "f", "g", "h"))),
        tasks);
  }

  @Test
  void namesTheLineThatIsWrong() throws IOException {
    Path file = file("A man\n2\na\nb\nc\nd\nShe\n4\ne\nf\ng\nh\n");
    BadFileException failure = assertThrows(BadFileException.class, () -> HellaSwagTask.read(file));
    assertTrue(failure.getMessage().contains("line 8"), failure.getMessage());
    Path cut = file("A man\n2\na\n");
    failure = assertThrows(BadFileException.class, () -> HellaSwagTask.read(cut));
    assertTrue(failure.getMessage().contains("3 lines"), failure.getMessage());
  }

  private Path file(String text) throws IOException {
    return Files.writeString(folder.resolve("tasks.txt"), text);
  }
}
