package io.github.mla4j.convert.calibrated;

import static org.bytedeco.pytorch.global.torch.full;
import static org.bytedeco.pytorch.global.torch.ones;

import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.torch.CausalMix;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

/** Softmax attention of one sequence as the source has it, whatever a head's keys are made of. */
final class SourceMix {
  // Scores that no softmax sees.
  private static final double HIDDEN = -1e30;

  private SourceMix() {}

  /**
   * Scales scores by the source's 1/√d.
   *
   * @param q [heads, T, any]
   * @param k [kvHeads, T, as q]
   * @param v [kvHeads, T, d]
   * @return [T, heads · d]
   */
  static Tensor apply(ModelConfig config, Tensor q, Tensor k, Tensor v) {
    long t = q.size(1);
    CausalMix mix = new CausalMix(1 / Math.sqrt(config.headLength()), config.slidingWindow());
    Tensor attended =
        mix.forward(q.view(config.kvHeadCount(), config.groupSize(), t, -1), k, v).attended();
    return attended.view(config.headCount(), t, -1).transpose(0, 1).reshape(t, -1);
  }

  /** What is added to scores, [T, T]: 0 where a query (row) sees a key, else far below all. */
  static Tensor mask(ModelConfig config, long t) {
    Tensor later = full(new long[] {t, t}, new Scalar(HIDDEN)).triu(1);
    int window = config.slidingWindow().orElse(Integer.MAX_VALUE);
    return window < t ? later.add_(ones(t, t).mul(new Scalar(HIDDEN)).tril(-window)) : later;
  }

  /** [kvHeads, T, n] to [heads, T, n]. */
  static Tensor everyHead(ModelConfig config, Tensor x) {
    int group = config.groupSize();
    return group == 1
        ? x
        : x.unsqueeze(1)
            .expand(x.size(0), group, x.size(1), x.size(2))
            .reshape(config.headCount(), x.size(1), x.size(2));
  }
}
