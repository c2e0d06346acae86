package io.github.mla4j.convert.recipe;

import static io.github.mla4j.convert.source.DecoderTensors.inLayer;

import io.github.mla4j.BadFileException;
import io.github.mla4j.convert.SvdMethod;
import io.github.mla4j.convert.linalg.Svd;
import io.github.mla4j.convert.source.FloatTensor;
import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.source.ModelFamily;
import io.github.mla4j.convert.source.ModelSource;
import io.github.mla4j.convert.source.PairOrder;
import io.github.mla4j.convert.source.RowSelection;
import io.github.mla4j.convert.source.WeightTensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.function.IntFunction;

/**
 * The recipe of MHA2MLA (arXiv 2502.14837): some rotary pairs of each head stay, the other keys and
 * the values are factored by a truncated SVD of their weights.
 */
public final class Mha2Mla implements LatentModel {
  private final ModelSource source;
  private final ModelConfig config;
  private final Mha2MlaSettings settings;
  private final IntFunction<KeptPairs> keptPairs;

  /**
   * @param keptPairs of each layer
   * @throws IllegalArgumentException if the settings do not fit the model
   * @throws BadFileException if the model has biases that the form cannot express
   */
  public Mha2Mla(ModelSource source, Mha2MlaSettings settings, IntFunction<KeptPairs> keptPairs) {
    this.source = source;
    this.config = source.config();
    this.settings = settings;
    this.keptPairs = keptPairs;
    settings.check(config);
    refuseBiasedNormedKeys();
  }

  /** A key's bias cancels in the softmax only where no norm makes the key's scale depend on it. */
  private void refuseBiasedNormedKeys() {
    for (int layer = 0; layer < config.blockCount(); layer++) {
      String bias = inLayer(layer, "attn_k.bias");
      if (config.family() == ModelFamily.QWEN3 && source.find(bias).isPresent()) {
        throw new BadFileException(
            "%s: tensor '%s': key biases together with key norms cannot be converted"
                .formatted(source.name(), bias));
      }
    }
  }

  @Override
  public ModelConfig config() {
    return config;
  }

  /** As the paper's code has it, unless every rotation stays: then the source's order does too. */
  @Override
  public boolean normsAfterRotation() {
    return config.family() == ModelFamily.QWEN3 && settings.ropeDims() < config.headLength();
  }

  @Override
  public List<OutputTensor> sharedTensors() {
    return SourceTensors.shared(source);
  }

  @Override
  public LatentLayer layer(int index) {
    KeptPairs kept = keptPairs.apply(index);
    AttentionTensors attention = new AttentionTensors(config, index, kept.ropeDims());
    HeadOrder order = new HeadOrder(config, kept);
    attention
        .queries(
            new RowSelection(weight(index, "attn_q"), order.queryRows()),
            bias(index, "attn_q").map(values -> PairOrder.select(values, order.queryRows())))
        .rotaryKeys(
            new RowSelection(weight(index, "attn_k"), order.rotaryKeyRows()),
            bias(index, "attn_k").map(values -> PairOrder.select(values, order.rotaryKeyRows())));
    factor(attention, index, order);
    if (config.family() == ModelFamily.QWEN3) {
      attention.headNorms(
          order.queryNorm(source.tensor(inLayer(index, "attn_q_norm.weight")).readAll()),
          order.keyNorm(source.tensor(inLayer(index, "attn_k_norm.weight")).readAll()));
    }
    attention.output(
        weight(index, "attn_output"), bias(index, "attn_output"), bias(index, "attn_v"));
    List<OutputTensor> tensors = new ArrayList<>(attention.tensors());
    tensors.addAll(SourceTensors.besidesAttention(source, index));
    return new LatentLayer(
        config.kvHeadCount(),
        kept.ropeDims(),
        kept.frequencies(config.rope().inverse()),
        attention.latentLength(),
        tensors);
  }

  private void factor(AttentionTensors attention, int layer, HeadOrder order) {
    WeightTensor keys = new RowSelection(weight(layer, "attn_k"), order.otherKeyRows());
    WeightTensor values = weight(layer, "attn_v");
    if (settings.svd() == SvdMethod.JOINT) {
      Svd.Factors factors = truncate(keys, values);
      int split = keys.rows() * factors.rank();
      attention.jointLatent(
          down(layer, factors),
          Arrays.copyOfRange(factors.up(), 0, split),
          Arrays.copyOfRange(factors.up(), split, factors.up().length));
      return;
    }
    if (settings.svd().factorsKeys() && keys.rows() > 0) {
      Svd.Factors factors = truncate(keys);
      attention.keyLatent(down(layer, factors), factors.up());
    } else {
      attention.plainKeys(keys);
    }
    if (settings.svd().factorsValues()) {
      Svd.Factors factors = truncate(values);
      attention.valueLatent(down(layer, factors), factors.up());
    } else {
      attention.plainValues(values);
    }
  }

  /** Factors the tensors' rows, one below the other; a rank above the full one is the full one. */
  private Svd.Factors truncate(WeightTensor... stacked) {
    int columns = config.embeddingLength();
    int rows = 0;
    for (WeightTensor tensor : stacked) {
      rows += tensor.rows();
    }
    double[] matrix = new double[Math.multiplyExact(rows, columns)];
    int next = 0;
    for (WeightTensor tensor : stacked) {
      for (float value : tensor.readAll()) {
        matrix[next++] = value;
      }
    }
    Svd svd = Svd.of(matrix, rows, columns);
    return svd.truncated(Math.min(settings.rank() * config.kvHeadCount(), svd.size()));
  }

  private WeightTensor down(int layer, Svd.Factors factors) {
    return new FloatTensor(
        "down-projection of layer " + layer,
        factors.rank(),
        config.embeddingLength(),
        factors.down());
  }

  private WeightTensor weight(int layer, String module) {
    return source.tensor(inLayer(layer, module + ".weight"));
  }

  private Optional<float[]> bias(int layer, String module) {
    return source.find(inLayer(layer, module + ".bias")).map(WeightTensor::readAll);
  }
}
