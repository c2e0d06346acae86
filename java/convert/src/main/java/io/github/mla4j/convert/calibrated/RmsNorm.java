package io.github.mla4j.convert.calibrated;

import static org.bytedeco.pytorch.global.torch.rms_norm;

import io.github.mla4j.convert.source.ModelConfig;
import org.bytedeco.pytorch.DoubleOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;

/** The norm that every family uses, of residual streams and of heads alike. */
final class RmsNorm {
  private RmsNorm() {}

  /**
   * @param x [..., n]
   * @param weight [n]
   */
  static Tensor of(ModelConfig config, Tensor x, Tensor weight) {
    return rms_norm(
        x,
        new long[] {weight.size(0)},
        new TensorOptional(weight),
        new DoubleOptional(config.rmsEpsilon()));
  }
}
