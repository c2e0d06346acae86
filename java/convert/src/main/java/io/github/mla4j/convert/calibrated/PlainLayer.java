package io.github.mla4j.convert.calibrated;

import static io.github.mla4j.convert.source.DecoderTensors.inLayer;
import static org.bytedeco.pytorch.global.torch.linear;
import static org.bytedeco.pytorch.global.torch.zeros;

import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.source.ModelSource;
import io.github.mla4j.convert.source.WeightTensor;
import io.github.mla4j.convert.torch.TorchScope;
import java.util.Optional;
import org.bytedeco.pytorch.AbstractTensor;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * One layer of the source as float32 tensors, but for its MLP; matrices are [out, in], absent
 * biases are zero. Its tensors belong to the {@code TorchScope} in which it is read.
 */
final class PlainLayer {
  private final ModelSource source;
  private final ModelConfig config;
  private final int layer;
  private final Tensor attentionNorm; // [D]

  final FeedForward feedForward;
  final Tensor query; // [heads · d, D]
  final Tensor queryBias;
  final Tensor key; // [kvHeads · d, D]
  final Tensor keyBias;
  final Tensor value; // [kvHeads · d, D]
  final Tensor valueBias;
  final Tensor output; // [D, heads · d]
  final Tensor outputBias;
  final Optional<Tensor> queryNorm; // [d]
  final Optional<Tensor> keyNorm; // [d]

  /**
   * Reads the layer.
   *
   * @param feedForwardType what its MLP is multiplied in: the one thing that may be rough
   */
  PlainLayer(ModelSource source, int layer, ScalarType feedForwardType) {
    this.source = source;
    this.config = source.config();
    this.layer = layer;
    attentionNorm = vector("attn_norm.weight").orElseThrow();
    query = matrix("attn_q");
    queryBias = bias("attn_q", config.queryRows());
    key = matrix("attn_k");
    keyBias = bias("attn_k", config.kvRows());
    value = matrix("attn_v");
    valueBias = bias("attn_v", config.kvRows());
    output = matrix("attn_output");
    outputBias = bias("attn_output", config.embeddingLength());
    queryNorm = headNorm("attn_q_norm.weight");
    keyNorm = headNorm("attn_k_norm.weight");
    feedForward =
        new FeedForward(
            config,
            vector("ffn_norm.weight").orElseThrow(),
            matrix("ffn_gate", feedForwardType),
            matrix("ffn_up", feedForwardType),
            matrix("ffn_down", feedForwardType));
  }

  /** What is read on the way is freed. */
  private Tensor matrix(String module, ScalarType type) {
    return TorchScope.nested(() -> matrix(module).to(type));
  }

  private Tensor matrix(String module) {
    WeightTensor weight = source.tensor(inLayer(layer, module + ".weight"));
    return AbstractTensor.create(weight.readAll(), weight.rows(), weight.columns());
  }

  private Optional<Tensor> vector(String name) {
    return source
        .find(inLayer(layer, name))
        .map(weight -> AbstractTensor.create(weight.readAll(), weight.columns()));
  }

  private Tensor bias(String module, int length) {
    return vector(module + ".bias").orElseGet(() -> zeros(length));
  }

  private Optional<Tensor> headNorm(String name) {
    return LatentInput.normsHeads(config) ? vector(name) : Optional.empty();
  }

  /** What the attention reads: the normed residual stream, [T, D]. */
  Tensor attentionInput(Tensor stream) {
    return RmsNorm.of(config, stream, attentionNorm);
  }

  /** Queries before rotation, normed where the family norms them, [heads, T, d]. */
  Tensor queries(Tensor x) {
    Tensor rows = heads(linear(x, query, new TensorOptional(queryBias)), config.headCount());
    return queryNorm.map(weight -> RmsNorm.of(config, rows, weight)).orElse(rows);
  }

  /** Keys before rotation, normed where the family norms them, [kvHeads, T, d]. */
  Tensor keys(Tensor x) {
    Tensor rows = heads(linear(x, key, new TensorOptional(keyBias)), config.kvHeadCount());
    return keyNorm.map(weight -> RmsNorm.of(config, rows, weight)).orElse(rows);
  }

  private Tensor values(Tensor x) {
    return heads(linear(x, value, new TensorOptional(valueBias)), config.kvHeadCount());
  }

  private Tensor heads(Tensor x, int count) {
    return x.view(x.size(0), count, config.headLength()).transpose(0, 1);
  }

  /** What the attention adds to the residual stream, [T, D]. */
  Tensor attention(Tensor x) {
    Rotation rotation = Rotation.of(config.rope(), x.size(0));
    Tensor mixed =
        SourceMix.apply(config, rotation.rotate(queries(x)), rotation.rotate(keys(x)), values(x));
    return linear(mixed, output, new TensorOptional(outputBias));
  }
}
