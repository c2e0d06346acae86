package io.github.mla4j.cli;

import io.github.mla4j.Model;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;

/** The demo's files: what comes with the program, and a temporary folder that goes at the end. */
final class DemoFolder implements AutoCloseable {
  private static final String RESOURCES = "/io/github/mla4j/embedded/";
  private static final int PROMPT_CHARACTERS = 60;

  private final Path folder;

  private DemoFolder(Path folder) {
    this.folder = folder;
  }

  static DemoFolder create() throws IOException {
    return new DemoFolder(Files.createTempDirectory("mla-demo"));
  }

  /** The model that comes with the program, as a file. */
  Path embeddedModel() throws IOException {
    Path file = folder.resolve("mla-tiny.gguf");
    try (InputStream model = resource("mla-tiny.gguf")) {
      Files.copy(model, file);
    }
    return file;
  }

  /** The beginning of the bundled calibration text, as a file. */
  Path calibration(int characters) throws IOException {
    String text = text("calibration.txt");
    return Files.writeString(
        folder.resolve("calibration.txt"), text.substring(0, Math.min(text.length(), characters)));
  }

  /** Where the converted model goes. */
  Path converted() {
    return folder.resolve("converted.gguf");
  }

  /** The bundled passage, which no model here was trained, calibrated or converted on. */
  static String passage() throws IOException {
    return text("passage.txt");
  }

  /** A few of its first words, to be continued. */
  static String passageBeginning() throws IOException {
    String passage = passage().strip();
    int end = passage.indexOf(' ', PROMPT_CHARACTERS);
    return end < 0 ? passage : passage.substring(0, end);
  }

  private static String text(String name) throws IOException {
    try (InputStream text = resource(name)) {
      return new String(text.readAllBytes(), StandardCharsets.UTF_8);
    }
  }

  private static InputStream resource(String name) throws IOException {
    InputStream found = Model.class.getResourceAsStream(RESOURCES + name);
    if (found == null) {
      throw new FileNotFoundException(name + " is not among the program's resources");
    }
    return found;
  }

  @Override
  public void close() throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      for (Path file : files.toList()) {
        Files.delete(file);
      }
    }
    Files.delete(folder);
  }
}
