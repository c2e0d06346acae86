package io.github.mla4j.convert.calibrated;

import org.bytedeco.pytorch.Tensor;

/** How far an attention's output is from what it should be, as a share of the latter. */
final class LayerError {
  private LayerError() {}

  /** ‖y − wanted‖² / ‖wanted‖², a scalar tensor. */
  static Tensor of(Tensor y, Tensor wanted) {
    return y.sub(wanted).square().sum().div(wanted.square().sum());
  }
}
