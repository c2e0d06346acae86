package io.github.mla4j.convert.output;

import static io.github.mla4j.convert.source.DecoderTensors.inLayer;

import io.github.mla4j.MlaException;
import io.github.mla4j.Status;
import io.github.mla4j.convert.recipe.OutputTensor;
import io.github.mla4j.convert.recipe.SourceTensors;
import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.source.ModelFamily;
import io.github.mla4j.convert.source.ModelSource;
import io.github.mla4j.convert.source.PairOrder;
import io.github.mla4j.convert.source.RopeScaling;
import io.github.mla4j.convert.source.RowSelection;
import io.github.mla4j.convert.source.WeightTensor;
import io.github.mla4j.gguf.GgufWriter;
import io.github.mla4j.gguf.TensorType;
import java.util.Optional;
import java.util.function.IntConsumer;

/** Writes a plain model under llama.cpp's architecture, keys and tensor names. */
public final class PlainModelWriter {
  private final ModelSource source;
  private final ModelConfig config;
  private final GgufWriter writer;
  private final TensorWriter tensors;
  private final String prefix;

  public PlainModelWriter(ModelSource source, GgufWriter writer, OutputTypes types) {
    this.source = source;
    this.config = source.config();
    this.writer = writer;
    this.tensors = new TensorWriter(writer, types);
    this.prefix = config.family().architecture() + ".";
  }

  /**
   * Writes everything; the caller finishes the file.
   *
   * @param layerDone told how many layers are written
   */
  public void write(ModelMetadata metadata, IntConsumer layerDone) {
    metadata.write(writer);
    writer.set("general.architecture", config.family().architecture());
    ModelSizes.write(writer, prefix, config);
    writeRope();
    SourceTensors.shared(source).forEach(tensors::write);
    for (int layer = 0; layer < config.blockCount(); layer++) {
      writeAttention(layer);
      SourceTensors.besidesAttention(source, layer).forEach(tensors::write);
      layerDone.accept(layer + 1);
    }
  }

  private void writeRope() {
    writer.set(prefix + "rope.freq_base", (float) config.rope().base());
    writer.set(prefix + "rope.dimension_count", config.headLength());
    RopeScaling scaling = config.rope().scaling();
    if (scaling instanceof RopeScaling.Llama3) {
      writeDivisors();
    } else if (scaling instanceof RopeScaling.Divided divided) {
      writeDivisors(divided.divisors());
      writeScaling(divided.then());
    } else {
      writeScaling(scaling);
    }
  }

  /** llama.cpp has no name for Llama 3's curve, only for what it divides each pair by. */
  private void writeDivisors() {
    double[] scaled = config.rope().inverse();
    float[] divisors = new float[scaled.length];
    for (int i = 0; i < divisors.length; i++) {
      double plain = Math.pow(config.rope().base(), -2.0 * i / config.headLength());
      divisors[i] = (float) (plain / scaled[i]);
    }
    writeDivisors(divisors);
  }

  private void writeDivisors(float[] divisors) {
    writer.tensor("rope_freqs.weight", TensorType.F32, divisors, divisors.length);
  }

  private void writeScaling(RopeScaling scaling) {
    if (scaling instanceof RopeScaling.Linear linear) {
      writer.set(prefix + "rope.scaling.type", "linear");
      writer.set(prefix + "rope.scaling.factor", (float) linear.factor());
    } else if (scaling instanceof RopeScaling.Yarn yarn) {
      writeYarn(yarn);
    }
  }

  private void writeYarn(RopeScaling.Yarn yarn) {
    if (!yarn.truncate()) {
      throw new MlaException(
          Status.UNSUPPORTED,
          source.name() + ": YaRN without truncation cannot be said in a plain GGUF file");
    }
    writer.set(prefix + "rope.scaling.type", "yarn");
    writer.set(prefix + "rope.scaling.factor", (float) yarn.factor());
    writer.set(prefix + "rope.scaling.original_context_length", (int) yarn.originalContext());
    writer.set(prefix + "rope.scaling.yarn_beta_fast", (float) yarn.betaFast());
    writer.set(prefix + "rope.scaling.yarn_beta_slow", (float) yarn.betaSlow());
    writer.set(
        prefix + "rope.scaling.attn_factor",
        (float) (yarn.attentionFactor() / RopeScaling.Yarn.defaultAttentionFactor(yarn.factor())));
  }

  private void writeAttention(int layer) {
    rotary(layer, "attn_q", config.headCount());
    rotary(layer, "attn_k", config.kvHeadCount());
    for (String module : new String[] {"attn_v", "attn_output"}) {
      matrix(inLayer(layer, module + ".weight"));
      vector(inLayer(layer, module + ".bias"));
    }
    if (config.family() == ModelFamily.QWEN3) {
      vector(inLayer(layer, "attn_q_norm.weight"));
      vector(inLayer(layer, "attn_k_norm.weight"));
    }
  }

  private void rotary(int layer, String module, int heads) {
    String weight = inLayer(layer, module + ".weight");
    String bias = inLayer(layer, module + ".bias");
    if (!config.family().interleavesPairsInGguf()) {
      matrix(weight);
      vector(bias);
      return;
    }
    int[] order = PairOrder.interleavedFromHalves(heads, config.headLength());
    tensors.write(OutputTensor.weight(weight, new RowSelection(source.tensor(weight), order)));
    source
        .find(bias)
        .map(values -> PairOrder.select(values.readAll(), order))
        .ifPresent(values -> tensors.write(OutputTensor.vector(bias, values)));
  }

  private void matrix(String name) {
    tensors.write(OutputTensor.weight(name, source.tensor(name)));
  }

  private void vector(String name) {
    Optional<WeightTensor> tensor = source.find(name);
    tensor.ifPresent(values -> tensors.write(OutputTensor.vector(name, values.readAll())));
  }
}
