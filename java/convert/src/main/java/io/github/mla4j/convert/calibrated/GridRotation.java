package io.github.mla4j.convert.calibrated;

import static org.bytedeco.pytorch.global.torch.linalg_svd;

import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarOptional;
import org.bytedeco.pytorch.T_TensorTensorTensor_T;
import org.bytedeco.pytorch.Tensor;

/**
 * A rotation of a group after which its values lie near a grid of four levels a token: in turns the
 * nearest grid points of the rotated values, and the rotation that brings the values nearest to
 * those points (Procrustes), as in iterative quantization (Gong and Lazebnik, CVPR 2011).
 */
final class GridRotation {
  private static final int ROUNDS = 30;
  private static final int LEVELS = 3;

  private GridRotation() {}

  /**
   * @param values [tokens, n] in double precision
   * @param start the rotation to begin with, [n, n]
   * @return the best rotation that was seen
   */
  static Tensor learn(Tensor values, Tensor start) {
    Tensor rotation = start;
    Tensor best = start;
    double least = Double.POSITIVE_INFINITY;
    for (int round = 0; round <= ROUNDS; round++) {
      Tensor turned = values.mm(rotation.t());
      Tensor points = nearest(turned);
      double error = points.sub(turned).square().sum().item_double();
      if (error < least) {
        least = error;
        best = rotation;
      }
      T_TensorTensorTensor_T svd = linalg_svd(points.t().mm(values));
      rotation = svd.get0().mm(svd.get2());
    }
    return best;
  }

  /** Of each token the nearest of four levels from its least to its greatest value. */
  private static Tensor nearest(Tensor x) {
    long[] row = {1};
    Tensor least = x.amin(row, true);
    Tensor step =
        x.amax(row, true).sub_(least).div_(new Scalar(LEVELS)).clamp_min_(new Scalar(1e-30));
    return x.sub(least)
        .div_(step)
        .round_()
        .clamp_(new ScalarOptional(new Scalar(0)), new ScalarOptional(new Scalar(LEVELS)))
        .mul_(step)
        .add_(least);
  }
}
