package io.github.mla4j.convert.train;

import io.github.mla4j.convert.torch.AdamW;
import io.github.mla4j.convert.torch.Parameters;
import io.github.mla4j.convert.torch.TensorArchive;
import io.github.mla4j.convert.torch.TorchScope;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.pytorch.AbstractTensor;
import org.bytedeco.pytorch.Tensor;

/**
 * All that a run needs to go on after a kill: weights, the optimizer's moments, the number of steps
 * done and which texts they were done on. Randomness is derived from the step and needs no state.
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
  @SuppressWarnings("try") // the scope is there to be closed
  static void write(Path file, long step, long texts, Parameters parameters, AdamW optimizer)
      throws IOException {
    try (TorchScope scope = TorchScope.withoutGradients()) {
      Map<String, Tensor> tensors = new LinkedHashMap<>();
      tensors.put(STEP, AbstractTensor.create(step));
      tensors.put(TEXTS, AbstractTensor.create(texts));
      parameters.all().forEach((name, tensor) -> tensors.put(WEIGHT + name, tensor));
      optimizer
          .moments()
          .forEach(
              (name, moments) -> {
                tensors.put(MEAN + name, moments.mean());
                tensors.put(SQUARE + name, moments.square());
              });
      TensorArchive.write(file, tensors);
    }
  }

  /**
   * Reads into tensors of the same names and shapes.
   *
   * @return the number of steps done
   * @throws IOException when the file is damaged, of another model or from other texts
   */
  @SuppressWarnings("try") // the scope is there to be closed
  static long read(Path file, long texts, Parameters parameters, AdamW optimizer)
      throws IOException {
    try (TorchScope scope = TorchScope.withoutGradients()) {
      TensorArchive archive = TensorArchive.open(file);
      if (archive.read(TEXTS).item_long() != texts) {
        throw new IOException(
            file + " is no checkpoint of this run: it was trained on other texts");
      }
      for (Map.Entry<String, Tensor> parameter : parameters.all().entrySet()) {
        String name = parameter.getKey();
        AdamW.Moments moments = optimizer.moments().get(name);
        archive.copy(WEIGHT + name, parameter.getValue());
        archive.copy(MEAN + name, moments.mean());
        archive.copy(SQUARE + name, moments.square());
      }
      return archive.read(STEP).item_long();
    }
  }
}
