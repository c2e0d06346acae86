package io.github.mla4j.convert.calibrated;

import static org.bytedeco.pytorch.global.torch.cat;
import static org.bytedeco.pytorch.global.torch.linear;

import io.github.mla4j.convert.source.ModelConfig;
import java.util.Arrays;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.TensorVector;

/**
 * A converted layer's attention as PyTorch computes it; what the engine does after absorbing, and
 * differentiable.
 *
 * @param query [heads · (R + d), D]: a head's R rotary rows, then its d others
 * @param queryBias [heads · (R + d)]
 * @param rotaryKey [G · R, D]
 * @param rotaryKeyBias [G · R]
 * @param frequencies inverse frequencies, [G · R/2]
 * @param down [C, D]
 * @param keyUp [kvHeads, d, C]
 * @param valueUp [kvHeads, d, C]
 * @param output [D, heads · d]
 * @param outputBias [D], the values' bias folded in
 */
record LatentAttention(
    Tensor query,
    Tensor queryBias,
    Tensor rotaryKey,
    Tensor rotaryKeyBias,
    double[] frequencies,
    Tensor down,
    Tensor keyUp,
    Tensor valueUp,
    Tensor output,
    Tensor outputBias) {

  static LatentAttention of(
      ModelConfig config, PlainLayer layer, RotaryPart rotary, LatentFactor.Factors factors) {
    // A softmax sums to one, so the values' bias reaches every output with weight one.
    Tensor valueBias =
        layer
            .valueBias
            .view(config.kvHeadCount(), 1, config.headLength())
            .expand(config.kvHeadCount(), config.groupSize(), config.headLength())
            .reshape(1, -1);
    return new LatentAttention(
        rotary.query(),
        rotary.queryBias(),
        rotary.key(),
        rotary.keyBias(),
        rotary.frequencies(),
        factors.down(),
        factors.keyUp(),
        factors.valueUp(),
        layer.output,
        layer.outputBias.add(valueBias.mm(layer.output.t()).squeeze(0)));
  }

  int ropeDims(ModelConfig config) {
    return Math.toIntExact(query.size(0)) / config.headCount() - config.headLength();
  }

  /**
   * @param x what the attention reads, [T, D]
   * @return what it adds to the residual stream, [T, D]
   */
  Tensor forward(ModelConfig config, Tensor x) {
    int r = ropeDims(config);
    long t = x.size(0);
    int kvHeads = config.kvHeadCount();
    Tensor q =
        linear(x, query, new TensorOptional(queryBias))
            .view(t, config.headCount(), -1)
            .transpose(0, 1);
    Tensor c = x.mm(down.t());
    Tensor k = c.matmul(keyUp.transpose(1, 2));
    Tensor v = c.matmul(valueUp.transpose(1, 2));
    if (r > 0) {
      long groups = rotaryKey.size(0) / r;
      Tensor rotary =
          linear(x, rotaryKey, new TensorOptional(rotaryKeyBias))
              .view(t, groups, r)
              .transpose(0, 1);
      q =
          cat(
              new TensorVector(
                  rotate(config, q.narrow(2, 0, r)), q.narrow(2, r, config.headLength())),
              2);
      Tensor shared = rotate(config, rotary).expand(kvHeads, t, r);
      k = cat(new TensorVector(shared, k), 2);
    }
    return linear(CausalMix.apply(config, q, k, v), output, new TensorOptional(outputBias));
  }

  /** Heads in the order of their groups, [heads or groups, T, R]. */
  private Tensor rotate(ModelConfig config, Tensor x) {
    int half = Math.toIntExact(x.size(2) / 2);
    int groups = frequencies.length / half;
    long each = x.size(0) / groups;
    TensorVector turned = new TensorVector();
    for (int g = 0; g < groups; g++) {
      double[] own = Arrays.copyOfRange(frequencies, g * half, (g + 1) * half);
      turned.push_back(
          Rotation.of(own, config.rope().attentionFactor(), x.size(1))
              .rotate(x.narrow(0, g * each, each)));
    }
    return cat(turned, 0);
  }
}
