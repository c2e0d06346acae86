package io.github.mla4j.convert.calibrated;

import static org.bytedeco.pytorch.global.torch.linear;

import io.github.mla4j.convert.source.ModelConfig;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * What comes before the split of heads that are normed: an RMS norm sees a head as a whole, so
 * queries and keys are made whole, and their rotary parts and the latent from the normed ones.
 *
 * @param queryNorm [d]
 * @param rotaryQuery a head's rotary part from its normed query, [heads, R, d]
 * @param key [kvHeads · d, D]
 * @param keyBias [kvHeads · d]
 * @param keyNorm [d]
 */
record WholeHeads(
    Tensor queryNorm, Tensor rotaryQuery, Tensor key, Tensor keyBias, Tensor keyNorm) {

  /** The same with every map of it replaced; norms stay, the maps after them can do all they do. */
  WholeHeads withMaps(UnaryOperator<Tensor> change) {
    return new WholeHeads(
        queryNorm, change.apply(rotaryQuery), change.apply(key), keyBias, keyNorm);
  }

  /** The same in another type. */
  WholeHeads in(ScalarType type) {
    return new WholeHeads(
        queryNorm.to(type), rotaryQuery.to(type), key.to(type), keyBias.to(type), keyNorm.to(type));
  }

  Stream<Tensor> tensors() {
    return Stream.of(queryNorm, rotaryQuery, key, keyBias, keyNorm);
  }

  /** Normed keys k̂ of all heads, [T, kvHeads · d]. */
  Tensor keys(ModelConfig config, Tensor x) {
    Tensor rows = linear(x, key, new TensorOptional(keyBias));
    Tensor heads = rows.view(x.size(0), config.kvHeadCount(), config.headLength());
    return RmsNorm.of(config, heads, keyNorm).reshape(x.size(0), -1);
  }
}
