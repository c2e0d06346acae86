package io.github.mla4j.cli;

import io.github.mla4j.Device;
import io.github.mla4j.Model;
import io.github.mla4j.convert.SourceLoader;
import io.github.mla4j.gguf.Gguf;
import io.github.mla4j.gguf.TensorType;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** Opens whatever a command calls MODEL. */
final class Models {
  private Models() {}

  /**
   * A GGUF file as it is; a Hugging Face or official folder converted in memory, in F32.
   *
   * @param device where its sessions run
   */
  static Model open(Path path, Device device) throws IOException {
    if (!Files.isDirectory(path)) {
      return Model.load(path, device);
    }
    try (Gguf gguf = SourceLoader.toGguf(path, TensorType.F32)) {
      return Model.load(gguf, device);
    }
  }

  /** The same, for what only reads keys. */
  static Gguf openGguf(Path path) throws IOException {
    return Files.isDirectory(path) ? SourceLoader.toGguf(path, TensorType.F32) : Gguf.open(path);
  }

  /** The file's name without its ending, or all of the path where another has that name. */
  static String label(Path file, List<Path> files) {
    String name = name(file);
    return files.stream().filter(other -> name(other).equals(name)).count() == 1
        ? name
        : file.toString();
  }

  private static String name(Path file) {
    return file.toAbsolutePath().normalize().getFileName().toString().replaceAll("\\.gguf$", "");
  }
}
