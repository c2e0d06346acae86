package io.github.mla4j;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Files;
import java.nio.file.Path;

/** Models and fixtures beside the checkout; a test that needs an absent one is skipped. */
public final class SharedFiles {
  private static final Path SHARED = projectRoot().resolve("../shared").normalize();

  private SharedFiles() {}

  public static Path find(String relative) {
    Path file = SHARED.resolve(relative);
    assumeTrue(Files.exists(file), "needs " + file + ", which is not there");
    return file;
  }

  public static Path stories() {
    return find("models/stories260K.gguf");
  }

  public static Path smollm2() {
    return find("models/SmolLM2-135M-Instruct.Q4_1.gguf");
  }

  /** The folder with the launcher and native/. */
  public static Path projectRoot() {
    Path folder = Path.of("").toAbsolutePath();
    while (!Files.isDirectory(folder.resolve("native/include"))) {
      folder = folder.getParent();
    }
    return folder;
  }
}
