package io.github.mla4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;

class QuickstartTest {
  @Test
  void itTellsAStory() {
    Path file = SharedFiles.stories();
    PrintStream console = System.out;
    ByteArrayOutputStream printed = new ByteArrayOutputStream();
    System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8));
    try {
      Quickstart.tell(file);
    } finally {
      System.setOut(console);
    }
    String text = printed.toString(StandardCharsets.UTF_8);
    assertTrue(text.startsWith(", there was a little girl named Lily"), text);
  }

  /** The README's Java block may declare the path itself, before the lines of the source. */
  @Test
  void theReadmeShowsTheSameLines() throws IOException {
    Path readme = SharedFiles.projectRoot().resolve("README.md");
    Assumptions.assumeTrue(Files.exists(readme), "needs README.md, which is not there");
    Path source =
        SharedFiles.projectRoot()
            .resolve("java/core/src/test/java/io/github/mla4j/Quickstart.java");
    String lines =
        Arrays.stream(between(Files.readString(source), "// README: begin\n", "    // README: end"))
            .map(line -> line.startsWith("    ") ? line.substring(4) : line)
            .collect(Collectors.joining("\n"));
    String[] block = between(Files.readString(readme), "```java\n", "```");
    String shown = String.join("\n", block);
    assertTrue(
        shown.endsWith(lines), "README.md shows\n" + shown + "\nbut the test runs\n" + lines);
    assertEquals(1, Files.readString(readme).split("```java\n", -1).length - 1);
  }

  private static String[] between(String text, String begin, String end) {
    int from = text.indexOf(begin);
    assertTrue(from >= 0, "no " + begin);
    from += begin.length();
    return text.substring(from, text.indexOf(end, from)).split("\n");
  }
}
