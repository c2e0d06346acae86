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
    Path file = file("A man\n2\na\nb\nc\nd\nShe\n0\ne\nf\ng\nh\n");
    assertEquals(
        List.of(
            new HellaSwagTask(file + ": line 1", "A man", 2, List.of("a", "b", "c", "d")),
            new HellaSwagTask(file + ": line 7", "She", 0, List.of("e", "f", "g", "h"))),
        HellaSwagTask.read(file));
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

  @Test
  void anEmptyContextOrEndingIsAnErrorThatNamesItsLine() throws IOException {
    for (String text :
        new String[] {
          " \n2\na\nb\nc\nd\n",
          "A man\n2\na\n\nc\nd\n",
          "A man\n2\na\nb\nc\n \n",
          "A man\n2\na\nb\n[step]\nd\n"
        }) {
      Path file = file(text + "She\n0\ne\nf\ng\nh\n");
      BadFileException failure =
          assertThrows(BadFileException.class, () -> HellaSwagTask.read(file));
      String line = "line " + (1 + lineOfNoText(text));
      assertTrue(failure.getMessage().contains(file + ": " + line), failure.getMessage());
    }
    Path last = file("A man\n2\na\nb\nc\n\n");
    BadFileException failure = assertThrows(BadFileException.class, () -> HellaSwagTask.read(last));
    assertTrue(failure.getMessage().contains("line 6"), failure.getMessage());
  }

  private static int lineOfNoText(String text) {
    return text.lines().map(line -> line.replace("[step]", "").strip()).toList().indexOf("");
  }

  @Test
  void emptyLinesAtTheEndAndBytesThatAreNoTextAreToldApart() throws IOException {
    assertEquals(1, HellaSwagTask.read(file("A man\n2\na\nb\nc\nd\n\n\n")).size());
    Path latin = Files.write(folder.resolve("latin.txt"), new byte[] {'A', (byte) 0xE4, '\n'});
    IOException failure = assertThrows(IOException.class, () -> HellaSwagTask.read(latin));
    assertTrue(failure.getMessage().contains("latin.txt: not UTF-8"), failure.getMessage());
  }

  /** As lm-evaluation-harness' preprocess gives them. */
  @Test
  void whatTheSourcesLeftInBracketsGoes() throws IOException {
    HellaSwagTask task =
        HellaSwagTask.read(
                file(
                    "How to wash [header] Soap. [title] Warm [step] water \n0\n a [substeps] b\nb\nc\nd\n"))
            .get(0);
    assertEquals("How to wash Soap.. Warm water", task.context());
    assertEquals("a b", task.endings().get(0));
  }

  private Path file(String text) throws IOException {
    return Files.writeString(folder.resolve("tasks.txt"), text);
  }
}
