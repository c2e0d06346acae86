package io.github.mla4j.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/** The demo from end to end, as a new user sees it. */
final class DemoTest {
  @Test
  void comparesTheEmbeddedModelWithItsConversion() throws IOException {
    String out = Cli.run("demo").ok().out();
    for (String row :
        new String[] {
          "source, f16",
          "source, int8",
          "source, int4",
          "converted, f16",
          "converted, int8",
          "converted, int4"
        }) {
      assertTrue(out.lines().anyMatch(line -> line.startsWith(row)), () -> row + " in\n" + out);
    }
    // Blind guessing would be the vocabulary's 2,048, the source is near 40.
    assertEquals(40, perplexity(out, "source, f16"), 6);
    assertEquals(perplexity(out, "source, f16"), perplexity(out, "source, int8"), 0.5);
    assertTrue(perplexity(out, "converted, int8") < 1.2 * perplexity(out, "source, f16"), out);
    assertTrue(perplexity(out, "converted, int4") < 1.2 * perplexity(out, "source, f16"), out);
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

  @Test
  void leavesNoFiles() throws IOException {
    DemoFolder folder = DemoFolder.create();
    Path file = folder.embeddedModel();
    assertTrue(Files.exists(file));
    folder.close();
    assertFalse(Files.exists(file.getParent()));
  }
}
