package io.github.mla4j.convert.recipe;

import static io.github.mla4j.convert.source.DecoderTensors.inLayer;

import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.source.WeightTensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * Collects a layer's attention in the form of the converted file (native/README.md). Up-projections
 * come as [kvHeads · rows, latent], head after head, and leave as the file wants them.
 */
final class AttentionTensors {
  private final ModelConfig config;
  private final int layer;
  private final int ropeDims;
  private final List<OutputTensor> tensors = new ArrayList<>();
  private int latentLength;

  AttentionTensors(ModelConfig config, int layer, int ropeDims) {
    this.config = config;
    this.layer = layer;
    this.ropeDims = ropeDims;
  }

  private int otherDims() {
    return config.headLength() - ropeDims;
  }

  /**
   * @param rows a head's R rotary rows, then its others, head after head
   */
  AttentionTensors queries(WeightTensor rows, Optional<float[]> bias) {
    add(OutputTensor.weight(name("attn_q.weight"), rows));
    bias.ifPresent(values -> add(OutputTensor.vector(name("attn_q.bias"), values)));
    return this;
  }

  /**
   * @param rows [kvHeads · R, D]; not used where R is 0
   */
  AttentionTensors rotaryKeys(WeightTensor rows, Optional<float[]> bias) {
    if (ropeDims > 0) {
      add(OutputTensor.weight(name("attn_k.weight"), rows));
      bias.ifPresent(values -> add(OutputTensor.vector(name("attn_k.bias"), values)));
    }
    return this;
  }

  /** One latent for keys and values; for values alone where all dims are rotary. */
  AttentionTensors jointLatent(WeightTensor down, float[] upKeys, float[] upValues) {
    if (otherDims() == 0) {
      return valueLatent(down, upValues);
    }
    down("attn_kv_a.weight", down);
    return keyFactors(down.rows(), upKeys).valueFactors(down.rows(), upValues);
  }

  AttentionTensors keyLatent(WeightTensor down, float[] up) {
    down("attn_k_a.weight", down);
    return keyFactors(down.rows(), up);
  }

  AttentionTensors valueLatent(WeightTensor down, float[] up) {
    down("attn_v_a.weight", down);
    return valueFactors(down.rows(), up);
  }

  /**
   * @param rows [kvHeads · (d − R), D]; not used where all dims are rotary
   */
  AttentionTensors plainKeys(WeightTensor rows) {
    if (otherDims() > 0) {
      add(OutputTensor.weight(name("attn_k_nope.weight"), rows));
      latentLength += rows.rows();
    }
    return this;
  }

  AttentionTensors plainValues(WeightTensor rows) {
    add(OutputTensor.weight(name("attn_v.weight"), rows));
    latentLength += rows.rows();
    return this;
  }

  /** Norms of each head's query and key: [d] for all heads, or [heads · d]. */
  AttentionTensors headNorms(float[] query, float[] key) {
    add(OutputTensor.vector(name("attn_q_norm.weight"), query));
    add(OutputTensor.vector(name("attn_k_norm.weight"), key));
    return this;
  }

  /**
   * The output projection. The values' bias reaches every output with weight one, as a softmax sums
   * to one, so it moves behind the attention: bias' = bias + W_o · (b_v of each query's head).
   */
  AttentionTensors output(WeightTensor rows, Optional<float[]> bias, Optional<float[]> valueBias) {
    add(OutputTensor.weight(name("attn_output.weight"), rows));
    Optional<float[]> folded = valueBias.map(values -> fold(rows, bias, values));
    (folded.isPresent() ? folded : bias)
        .ifPresent(values -> add(OutputTensor.vector(name("attn_output.bias"), values)));
    return this;
  }

  private float[] fold(WeightTensor output, Optional<float[]> bias, float[] valueBias) {
    float[] folded = new float[output.rows()];
    float[] row = new float[output.columns()];
    int d = config.headLength();
    for (int i = 0; i < folded.length; i++) {
      output.read(i, 1, row, 0);
      double sum = bias.isPresent() ? bias.get()[i] : 0;
      for (int j = 0; j < row.length; j++) {
        int kvHead = j / d / config.groupSize();
        sum += (double) row[j] * valueBias[kvHead * d + j % d];
      }
      folded[i] = (float) sum;
    }
    return folded;
  }

  private void down(String suffix, WeightTensor down) {
    add(new OutputTensor(name(suffix), OutputTensor.Role.FACTOR, down, 1));
    latentLength += down.rows();
  }

  /** Stored as it is absorbed, q_lat = B_kᵀ · q: [kvHeads, latent, d − R]. */
  private AttentionTensors keyFactors(int latent, float[] up) {
    int others = otherDims();
    float[] transposed = new float[up.length];
    for (int head = 0; head < config.kvHeadCount(); head++) {
      int start = head * others * latent;
      for (int row = 0; row < others; row++) {
        for (int c = 0; c < latent; c++) {
          transposed[start + c * others + row] = up[start + row * latent + c];
        }
      }
    }
    add(
        OutputTensor.factors(
            name("attn_k_b.weight"), config.kvHeadCount(), latent, others, transposed));
    return this;
  }

  private AttentionTensors valueFactors(int latent, float[] up) {
    add(
        OutputTensor.factors(
            name("attn_v_b.weight"), config.kvHeadCount(), config.headLength(), latent, up));
    return this;
  }

  private void add(OutputTensor tensor) {
    tensors.add(tensor);
  }

  private String name(String suffix) {
    return inLayer(layer, suffix);
  }

  List<OutputTensor> tensors() {
    return tensors;
  }

  /** C: latent elements that a token takes. */
  int latentLength() {
    return latentLength;
  }
}
