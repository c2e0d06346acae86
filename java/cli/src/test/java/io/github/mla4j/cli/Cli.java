package io.github.mla4j.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.core.JsonFactory;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.Assumptions;

/** A command run inside the test, with what it wrote. */
record Cli(int status, String out, String err) {
  private static final Path SHARED =
      Path.of("..", "..", "..", "shared").toAbsolutePath().normalize();

  static Cli run(Object... arguments) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    int status = status(out, err, arguments);
    return new Cli(status, out.toString(), err.toString());
  }

  /**
   * Runs a command whose complaints are read while it runs.
   *
   * @return its exit status
   */
  static int watched(StringWriter err, Object... arguments) {
    return status(new StringWriter(), err, arguments);
  }

  private static int status(StringWriter out, StringWriter err, Object... arguments) {
    String[] words = Arrays.stream(arguments).map(Object::toString).toArray(String[]::new);
    return Main.commandLine(words)
        .setOut(new PrintWriter(out))
        .setErr(new PrintWriter(err))
        .execute(words);
  }

  /** A file beside the checkout; skips the test where it is absent. */
  static Path shared(String path) {
    Path file = SHARED.resolve(path);
    Assumptions.assumeTrue(Files.exists(file), "needs " + file + ", which is not there");
    return file;
  }

  static Path stories() {
    return shared("models/stories260K.gguf");
  }

  /** The command did what it should and complained of nothing. */
  Cli ok() {
    assertEquals(0, status, err);
    return this;
  }

  /** The command failed with this status, one line that says all these words, and no output. */
  void fails(int expected, String... words) {
    assertEquals(expected, status, err);
    assertEquals("", out);
    assertTrue(err.startsWith("mla: ") && err.endsWith("\n"), err);
    assertEquals(1, err.lines().count(), err);
    for (String word : words) {
      assertTrue(err.contains(word), () -> "expected '" + word + "' in: " + err);
    }
  }

  /** The output, which must be JSON. */
  String json() throws IOException {
    ok();
    try (var parser = new JsonFactory().createParser(out)) {
      while (parser.nextToken() != null) {
        // Reading to the end is the check.
      }
    }
    return out;
  }

  /** What {@code mla logits} gives: [positions][vocabulary]. */
  static double[][] logits(Path model, String ids, String... options) throws IOException {
    Object[] arguments = {"logits", model, "--ids", ids};
    Object[] all = Arrays.copyOf(arguments, arguments.length + options.length);
    System.arraycopy(options, 0, all, arguments.length, options.length);
    String json = run(all).json().strip();
    String begin = "{\"logits\":[[";
    String end = "]]}";
    assertTrue(json.startsWith(begin) && json.endsWith(end), json);
    String rows = json.substring(begin.length(), json.length() - end.length());
    return Arrays.stream(rows.split("\\],\\["))
        .map(row -> Arrays.stream(row.split(",")).mapToDouble(Double::parseDouble).toArray())
        .toArray(double[][]::new);
  }

  /** Equal to 1e-3, the bound for parity. */
  static void assertClose(double[][] expected, double[][] actual) {
    assertEquals(expected.length, actual.length);
    for (int row = 0; row < expected.length; row++) {
      assertArrayEquals(expected[row], actual[row], 1e-3, "position " + row);
    }
  }
}
