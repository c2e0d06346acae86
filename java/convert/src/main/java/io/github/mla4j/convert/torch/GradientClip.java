package io.github.mla4j.convert.torch;

import static org.bytedeco.pytorch.global.torch.dot;

import java.util.List;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

/** Keeps a rare bad batch from throwing the weights off. */
public final class GradientClip {
  private GradientClip() {}

  /**
   * Scales all gradients down together when their norm is larger than {@code largest}.
   *
   * @return the norm before
   */
  public static double clip(List<Tensor> gradients, double largest) {
    double squares = 0;
    for (Tensor gradient : gradients) {
      Tensor flat = gradient.reshape(-1);
      squares += dot(flat, flat).item_float();
    }
    double norm = Math.sqrt(squares);
    if (norm > largest) {
      Scalar scale = new Scalar(largest / norm);
      gradients.forEach(gradient -> gradient.mul_(scale));
    }
    return norm;
  }
}
