package io.github.mla4j.convert.heal;

import io.github.mla4j.convert.output.OutputTypes;
import io.github.mla4j.convert.output.TensorWriter;
import io.github.mla4j.convert.recipe.OutputTensor;
import io.github.mla4j.convert.source.FloatTensor;
import io.github.mla4j.convert.source.WeightTensor;
import io.github.mla4j.convert.torch.Parameters;
import io.github.mla4j.convert.torch.TensorValues;
import io.github.mla4j.gguf.GgufKey;
import io.github.mla4j.gguf.GgufTensor;
import io.github.mla4j.gguf.GgufWriter;
import io.github.mla4j.gguf.TensorType;
import io.github.mla4j.gguf.ValueType;
import java.util.Optional;
import org.bytedeco.pytorch.Tensor;

/** Writes a converted file anew: what was trained, and all else as it was. */
final class HealedFile {
  private static final String PREFIX = "mha2mla.conversion.heal_";
  // Tells where data lie in the file, which the writer decides.
  private static final String ALIGNMENT = "general.alignment";

  private final ConvertedFile converted;
  private final Parameters trained;
  private final Optional<TensorType> wish;
  private final OutputTypes types;

  /**
   * @param wish for the matrices; empty keeps the type of each, but at least Q8_0 for those trained
   */
  HealedFile(ConvertedFile converted, Parameters trained, Optional<TensorType> wish) {
    this.converted = converted;
    this.trained = trained;
    this.wish = wish;
    this.types = new OutputTypes(wish);
  }

  /** Where the healed weights come from. */
  record Provenance(
      String teacherSha256,
      String dataSha256,
      long steps,
      long tokens,
      double loss,
      HealRequest.Options options) {

    private void write(GgufWriter writer) {
      writer.set(PREFIX + "teacher_sha256", teacherSha256);
      writer.set(PREFIX + "data_sha256", dataSha256);
      writer.setInteger(PREFIX + "steps", ValueType.U64, steps);
      writer.setInteger(PREFIX + "tokens", ValueType.U64, tokens);
      writer.set(PREFIX + "loss", (float) loss);
      writer.set(PREFIX + "objective", options.loss().label());
      writer.set(PREFIX + "trained", Labels.of(options.trained()));
      writer.set(PREFIX + "cache", options.cache().label());
    }
  }

  /** Writes everything; the caller finishes the file. */
  void write(GgufWriter writer, Provenance provenance) {
    for (GgufKey key : converted.file().keys()) {
      if (!key.name().startsWith(PREFIX) && !key.name().equals(ALIGNMENT)) {
        writer.copyKey(converted.file(), key.name());
      }
    }
    provenance.write(writer);
    TensorWriter tensors = new TensorWriter(writer, types);
    for (GgufTensor declared : converted.file().tensors()) {
      WeightTensor stored = converted.tensor(declared.name());
      boolean isTrained = trained.all().containsKey(declared.name());
      WeightTensor data = isTrained ? values(stored) : stored;
      int stack = declared.dims().size() > 2 ? Math.toIntExact(declared.dims().get(2)) : 1;
      tensors.write(
          new OutputTensor(declared.name(), role(declared, isTrained), data, stack, stored.type()));
    }
  }

  private OutputTensor.Role role(GgufTensor tensor, boolean isTrained) {
    if (tensor.dims().size() == 1) {
      return OutputTensor.Role.VECTOR;
    }
    if (tensor.dims().size() > 2 && wish.isPresent()) {
      return OutputTensor.Role.FACTOR;
    }
    return isTrained ? OutputTensor.Role.DERIVED : OutputTensor.Role.WEIGHT;
  }

  private WeightTensor values(WeightTensor stored) {
    Tensor tensor = trained.all().get(stored.name());
    return new FloatTensor(
        stored.name(), stored.rows(), stored.columns(), TensorValues.floats(onCpu(tensor)));
  }

  private static Tensor onCpu(Tensor tensor) {
    return tensor.is_cuda() ? tensor.cpu() : tensor;
  }

  /** What could not be as wished, in words. */
  OutputTypes types() {
    return types;
  }
}
