package io.github.mla4j.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** The demo from end to end, as a new user sees it. */
final class DemoTest {
  @Test
  void comparesTheEmbeddedModelWithItsConversion() throws IOException {
    long before = folders();
    String out = Cli.run("demo").ok().out();
    for (String row :
        new String[] {"source, f16", "source, int8", "converted, f16", "converted, int8"}) {
      assertTrue(out.lines().anyMatch(line -> line.startsWith(row)), () -> row + " in\n" + out);
    }
    // Blind guessing would be the vocabulary's 2,048, the source is near 40.
    assertEquals(40, perplexity(out, "source, f16"), 6);
    assertEquals(perplexity(out, "source, f16"), perplexity(out, "source, int8"), 0.5);
    assertTrue(perplexity(out, "converted, int8") < 200, out);
    assertEquals(before, folders(), "temporary files are left");
  }

  @Test
  void takesAnotherModel() throws IOException {
    String out = Cli.run("demo", "--model", Cli.stories()).ok().out();
    assertTrue(out.contains("292,800 parameters"), out);
  }

  private static double perplexity(String out, String row) {
    String line = out.lines().filter(each -> each.startsWith(row)).findFirst().orElseThrow();
    String beforeError = line.substring(0, line.indexOf('±')).strip();
    return Double.parseDouble(beforeError.substring(beforeError.lastIndexOf(' ') + 1));
  }

  private static long folders() throws IOException {
    try (Stream<Path> files = Files.list(Path.of(System.getProperty("java.io.tmpdir")))) {
      return files.filter(file -> file.getFileName().toString().startsWith("mla-demo")).count();
    }
  }
}
