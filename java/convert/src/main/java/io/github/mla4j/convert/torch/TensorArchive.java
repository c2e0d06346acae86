package io.github.mla4j.convert.torch;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Arrays;
import java.util.Map;
import org.bytedeco.pytorch.InputArchive;
import org.bytedeco.pytorch.OutputArchive;
import org.bytedeco.pytorch.Tensor;

/**
 * Named tensors in a file of PyTorch's archive format. What is read lives as long as the {@link
 * TorchScope} around the reading. Not thread-safe.
 */
public final class TensorArchive {
  private final Path file;
  private final InputArchive archive;

  private TensorArchive(Path file, InputArchive archive) {
    this.file = file;
    this.archive = archive;
  }

  /** Writes beside {@code file} first, then replaces it, so that a kill leaves a whole file. */
  public static void write(Path file, Map<String, Tensor> tensors) throws IOException {
    Path fresh = file.resolveSibling(file.getFileName() + ".tmp");
    try {
      TorchScope.runWithoutGradients(
          () -> {
            OutputArchive archive = new OutputArchive();
            tensors.forEach((name, tensor) -> archive.write(key(name), tensor));
            archive.save_to(fresh.toString());
          });
    } catch (RuntimeException e) {
      Files.deleteIfExists(fresh);
      throw new IOException(file + " cannot be written: " + firstLine(e), e);
    }
    Files.move(fresh, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
  }

  /**
   * @throws IOException when the file is missing, damaged, or of another kind
   */
  public static TensorArchive open(Path file) throws IOException {
    if (!Files.exists(file)) {
      throw new NoSuchFileException(file.toString());
    }
    try {
      InputArchive archive = new InputArchive();
      archive.load_from(file.toString());
      return new TensorArchive(file, archive);
    } catch (RuntimeException e) {
      throw new IOException(file + " is damaged, or no checkpoint: " + firstLine(e), e);
    }
  }

  /**
   * The tensor of this name.
   *
   * @throws IOException when there is none
   */
  public Tensor read(String name) throws IOException {
    Tensor tensor = new Tensor();
    try {
      if (!archive.try_read(key(name), tensor)) {
        throw new IOException(file + " has no tensor " + name);
      }
    } catch (RuntimeException e) {
      throw new IOException(file + " is damaged at tensor " + name + ": " + firstLine(e), e);
    }
    return tensor;
  }

  /**
   * Copies the tensor of this name into one that must have its shape.
   *
   * @throws IOException when there is none, or it has another shape
   */
  public void copy(String name, Tensor into) throws IOException {
    Tensor stored = read(name);
    if (!Arrays.equals(stored.shape(), into.shape())) {
      throw new IOException(
          "%s: tensor %s has shape %s, expected %s"
              .formatted(
                  file, name, Arrays.toString(stored.shape()), Arrays.toString(into.shape())));
    }
    into.copy_(stored);
  }

  /** The archive's names are attributes of a module, in which dots would nest. */
  private static String key(String name) {
    return name.replace('.', '/');
  }

  /** PyTorch's messages go on with a C++ stack trace. */
  private static String firstLine(RuntimeException e) {
    return String.valueOf(e.getMessage()).lines().findFirst().orElse("");
  }
}
