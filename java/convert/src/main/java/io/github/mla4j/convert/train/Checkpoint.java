package io.github.mla4j.convert.train;

import io.github.mla4j.convert.torch.AdamW;
import io.github.mla4j.convert.torch.Parameters;
import io.github.mla4j.convert.torch.TorchScope;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Arrays;
import java.util.Map;
import org.bytedeco.pytorch.AbstractTensor;
import org.bytedeco.pytorch.InputArchive;
import org.bytedeco.pytorch.OutputArchive;
import org.bytedeco.pytorch.Tensor;

/**
 * All that a run needs to go on after a kill, in PyTorch's archive format: weights, the optimizer's
 * moments, the number of steps done and which texts they were done on. Randomness is derived from
 * the step and needs no state.
 */
final class Checkpoint {
  private static final String STEP = "step";
  private static final String TEXTS = "texts";
  private static final String WEIGHT = "weight/";
  private static final String MEAN = "mean/";
  private static final String SQUARE = "square/";

  private Checkpoint() {}

  /**
   * Writes beside {@code file} first, then replaces it, so that a kill leaves a whole file.
   *
   * @param texts identifies what the model is trained on
   */
  static void write(Path file, long step, long texts, Parameters parameters, AdamW optimizer)
      throws IOException {
    Path fresh = file.resolveSibling(file.getFileName() + ".tmp");
    TorchScope.runWithoutGradients(
        () -> {
          OutputArchive archive = new OutputArchive();
          archive.write(STEP, AbstractTensor.create(step));
          archive.write(TEXTS, AbstractTensor.create(texts));
          parameters.all().forEach((name, tensor) -> archive.write(key(WEIGHT, name), tensor));
          optimizer
              .moments()
              .forEach(
                  (name, moments) -> {
                    archive.write(key(MEAN, name), moments.mean());
                    archive.write(key(SQUARE, name), moments.square());
                  });
          archive.save_to(fresh.toString());
        });
    Files.move(fresh, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
  }

  /**
   * Reads into tensors of the same names and shapes.
   *
   * @return the number of steps done
   * @throws IOException when the file is damaged, of another model or from other texts
   */
  static long read(Path file, long texts, Parameters parameters, AdamW optimizer)
      throws IOException {
    try {
      return TorchScope.computeWithoutGradients(
          () -> {
            InputArchive archive = new InputArchive();
            archive.load_from(file.toString());
            if (read(archive, TEXTS).item_long() != texts) {
              throw new IllegalArgumentException("it was trained on other texts");
            }
            for (Map.Entry<String, Tensor> parameter : parameters.all().entrySet()) {
              String name = parameter.getKey();
              AdamW.Moments moments = optimizer.moments().get(name);
              copy(archive, key(WEIGHT, name), parameter.getValue());
              copy(archive, key(MEAN, name), moments.mean());
              copy(archive, key(SQUARE, name), moments.square());
            }
            return read(archive, STEP).item_long();
          });
    } catch (RuntimeException e) {
      throw new IOException(file + " is no checkpoint of this run: " + firstLine(e), e);
    }
  }

  /** PyTorch's messages go on with a C++ stack trace. */
  private static String firstLine(RuntimeException e) {
    return String.valueOf(e.getMessage()).lines().findFirst().orElse("");
  }

  private static void copy(InputArchive archive, String key, Tensor into) {
    Tensor stored = read(archive, key);
    if (!Arrays.equals(stored.shape(), into.shape())) {
      throw new IllegalArgumentException(
          "%s has shape %s, expected %s"
              .formatted(key, Arrays.toString(stored.shape()), Arrays.toString(into.shape())));
    }
    into.copy_(stored);
  }

  private static Tensor read(InputArchive archive, String key) {
    Tensor tensor = new Tensor();
    if (!archive.try_read(key, tensor)) {
      throw new IllegalArgumentException("no tensor " + key);
    }
    return tensor;
  }

  /** The archive's names are attributes of a module, in which dots would nest. */
  private static String key(String kind, String name) {
    return kind + name.replace('.', '/');
  }
}
