package io.github.mla4j.convert.calibrated;

import static org.bytedeco.pytorch.global.torch.linear;
import static org.bytedeco.pytorch.global.torch.silu;

import io.github.mla4j.convert.source.ModelConfig;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * A layer's MLP, which conversion leaves as it is. Multiplies in the type of its matrices: bfloat16
 * does for gradients, and for comparing streams that all went the same way, at half the time on
 * machines that have it; the residual stream stays float32.
 */
final class FeedForward {
  private final ModelConfig config;
  private final Tensor norm; // [D]
  private final Tensor gate; // [F, D]
  private final Tensor up; // [F, D]
  private final Tensor down; // [D, F]

  FeedForward(ModelConfig config, Tensor norm, Tensor gate, Tensor up, Tensor down) {
    this.config = config;
    this.norm = norm;
    this.gate = gate;
    this.up = up;
    this.down = down;
  }

  /** The residual stream behind it, given it before, [T, D]. */
  Tensor after(Tensor stream) {
    Tensor x = RmsNorm.of(config, stream, norm).to(gate.scalar_type());
    Tensor y = linear(silu(linear(x, gate)).mul(linear(x, up)), down);
    return stream.add(y.to(ScalarType.Float));
  }
}
