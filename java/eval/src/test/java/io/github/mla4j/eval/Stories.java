package io.github.mla4j.eval;

import io.github.mla4j.Model;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Assumptions;

/** A real model that answers in milliseconds. */
public final class Stories {
  static final String TEXT =
      "Once upon a time there was a little girl. She had a red ball and a dog, and every day she "
          + "went to the park to play with them until it was time to go home.";

  private Stories() {}

  /** Opens it; skips the test where it is absent. */
  public static Model open() {
    return Model.load(shared("models/stories260K.gguf"));
  }

  /** A file beside the checkout; skips the test where it is absent. */
  static Path shared(String name) {
    Path file = Path.of("..", "..", "..", "shared").resolve(name);
    Assumptions.assumeTrue(Files.exists(file), "needs " + file + ", which is not there");
    return file;
  }
}
