package io.github.mla4j.convert.heal;

import io.github.mla4j.convert.torch.HeadwiseOptimizer;
import io.github.mla4j.convert.torch.Parameters;
import io.github.mla4j.convert.torch.TensorArchive;
import io.github.mla4j.convert.torch.TensorValues;
import io.github.mla4j.convert.torch.TorchScope;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.pytorch.AbstractTensor;
import org.bytedeco.pytorch.Tensor;

/**
 * All that a run needs to go on after a kill: parameters, the optimizer's state, how far it is, and
 * what it was told to do. Randomness is derived from the step and needs no state.
 */
final class HealCheckpoint {
  private static final String SETTINGS = "settings";
  private static final String STEPS = "steps";
  private static final String NANOS = "nanos";
  private static final String LOSSES = "losses";
  private static final String WEIGHT = "weight/";

  private final Path file;
  private final String settings;
  private final Parameters parameters;
  private final HeadwiseOptimizer optimizer;

  /**
   * @param settings that decide what the run does, "name: value" a line
   */
  HealCheckpoint(Path file, String settings, Parameters parameters, HeadwiseOptimizer optimizer) {
    this.file = file;
    this.settings = settings;
    this.parameters = parameters;
    this.optimizer = optimizer;
  }

  /** How far a run is. */
  record Position(long steps, Duration elapsed) {}

  /** Writes beside the file first, then replaces it, so that a kill leaves a whole one. */
  @SuppressWarnings("try") // the scope is there to be closed
  void write(Position position, LossHistory losses) throws IOException {
    try (TorchScope scope = TorchScope.withoutGradients()) {
      Map<String, Tensor> tensors = new LinkedHashMap<>();
      tensors.put(SETTINGS, AbstractTensor.create(settings.getBytes(StandardCharsets.UTF_8)));
      tensors.put(STEPS, AbstractTensor.create(position.steps()));
      tensors.put(NANOS, AbstractTensor.create(position.elapsed().toNanos()));
      tensors.put(LOSSES, AbstractTensor.create(losses.toArray()));
      parameters.all().forEach((name, tensor) -> tensors.put(WEIGHT + name, tensor));
      tensors.putAll(optimizer.state());
      TensorArchive.write(file, tensors);
    }
  }

  /**
   * Brings parameters and optimizer to where the run was.
   *
   * @param losses to which those of the steps done are added
   * @throws IOException if the file is damaged, or of another run; the message says in what the
   *     runs differ
   */
  @SuppressWarnings("try") // the scope is there to be closed
  Position read(LossHistory losses) throws IOException {
    try (TorchScope scope = TorchScope.withoutGradients()) {
      TensorArchive archive = TensorArchive.open(file);
      checkSettings(text(archive.read(SETTINGS)));
      for (Map.Entry<String, Tensor> parameter : parameters.all().entrySet()) {
        archive.copy(WEIGHT + parameter.getKey(), parameter.getValue());
      }
      for (Map.Entry<String, Tensor> state : optimizer.state().entrySet()) {
        archive.copy(state.getKey(), state.getValue());
      }
      for (float loss : TensorValues.floats(archive.read(LOSSES))) {
        losses.add(loss);
      }
      return new Position(
          archive.read(STEPS).item_long(), Duration.ofNanos(archive.read(NANOS).item_long()));
    }
  }

  private static String text(Tensor bytes) {
    byte[] values = new byte[Math.toIntExact(bytes.numel())];
    bytes.contiguous().data_ptr_byte().get(values);
    return new String(values, StandardCharsets.UTF_8);
  }

  private void checkSettings(String then) throws IOException {
    String[] now = settings.split("\n");
    String[] before = then.split("\n");
    for (int i = 0; i < Math.min(now.length, before.length); i++) {
      if (!now[i].equals(before[i])) {
        throw new IOException(
            "%s is the checkpoint of another run: it has %s, this one has %s; give it the same, or delete it to begin anew"
                .formatted(file, before[i], now[i]));
      }
    }
  }
}
