package io.github.mla4j.convert.calibrated;

import static org.bytedeco.pytorch.global.torch.cat;
import static org.bytedeco.pytorch.global.torch.diag_embed;
import static org.bytedeco.pytorch.global.torch.eye;
import static org.bytedeco.pytorch.global.torch.linalg_cholesky_ex;
import static org.bytedeco.pytorch.global.torch.linalg_eigh;
import static org.bytedeco.pytorch.global.torch.linalg_solve;
import static org.bytedeco.pytorch.global.torch.linalg_solve_triangular;
import static org.bytedeco.pytorch.global.torch.zeros_like;

import io.github.mla4j.convert.source.ModelConfig;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.T_TensorTensor_T;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * The latent of a layer: the best factors of rank C for its keys (besides rotary parts) and values
 * together, in a metric of what they do. Stacks L·W·R over the KV heads; L is E[q qᵀ]^½/√d for keys
 * and (Σ_h W_o,hᵀ W_o,h)^½ for values, R Rᵀ = C_k/tr C_k + C/tr C. W is a map of the latent's input
 * ({@link LatentInput}), of Z elements. Double precision.
 */
final class LatentFactor {
  // Of the greatest eigenvalue: what is less has not been seen and must not be divided by.
  private static final double FLOOR = 1e-7;

  private final int kvHeads;
  private final int d;
  private final Tensor keyMetric; // L of keys, [kvHeads, d, d]
  private final Tensor valueMetric; // L of values, [kvHeads, d, d]
  private final Tensor inputMetric; // R, [Z, Z], lower triangular
  private final Tensor keys; // L W R, [kvHeads · d, Z]
  private final Tensor values; // L W R, [kvHeads · d, Z]

  /**
   * The factors.
   *
   * @param down [C, Z]
   * @param keyUp [kvHeads, d, C]
   * @param valueUp [kvHeads, d, C]
   */
  record Factors(Tensor down, Tensor keyUp, Tensor valueUp) {}

  /**
   * @param otherKeys keys besides rotary parts, [kvHeads · d, D] of x, or [kvHeads · d, kvHeads ·
   *     d] of normed keys
   */
  LatentFactor(
      ModelConfig config, PlainLayer layer, AttentionStatistics statistics, Tensor otherKeys) {
    kvHeads = config.kvHeadCount();
    d = config.headLength();
    keyMetric = root(statistics.queries()).div_(new Scalar(Math.sqrt(d)));
    valueMetric = root(outputGram(config, layer));
    Tensor attended = statistics.attendedInputs();
    Tensor inputs = statistics.inputs();
    Tensor metric =
        attended
            .div(new Scalar(attended.trace().item_double()))
            .add_(inputs.div(new Scalar(inputs.trace().item_double())));
    inputMetric = triangularRoot(metric);
    Tensor keyMap = otherKeys;
    Tensor valueMap = layer.value;
    if (LatentInput.normsHeads(config)) {
      keyMap = LatentInput.beside(zeros_like(layer.value), otherKeys);
      valueMap = LatentInput.beside(layer.value, zeros_like(otherKeys));
    }
    keys = weighted(keyMetric, keyMap);
    values = weighted(valueMetric, valueMap);
  }

  /** Σ over a KV head's query heads of W_oᵀ W_o, [kvHeads, d, d]. */
  private Tensor outputGram(ModelConfig config, PlainLayer layer) {
    // The columns of a KV head's query heads, one head below the other.
    Tensor output =
        layer
            .output
            .to(ScalarType.Double)
            .view(config.embeddingLength(), kvHeads, config.groupSize(), d)
            .permute(1, 2, 0, 3)
            .reshape(kvHeads, -1, d);
    return output.transpose(1, 2).matmul(output);
  }

  /** The symmetric square roots of a stack of matrices. */
  private static Tensor root(Tensor stack) {
    T_TensorTensor_T eigen = linalg_eigh(stack);
    Tensor values = eigen.get0();
    Tensor floor = values.narrow(1, values.size(1) - 1, 1).mul(new Scalar(FLOOR));
    Tensor roots = values.maximum(floor).sqrt();
    Tensor vectors = eigen.get1();
    return vectors.matmul(diag_embed(roots)).matmul(vectors.transpose(1, 2));
  }

  /**
   * L of L Lᵀ = {@code metric}, with as little added to the diagonal as it takes: what a short text
   * leaves unseen is rounding noise, of either sign.
   */
  private static Tensor triangularRoot(Tensor metric) {
    long width = metric.size(0);
    Tensor identity = eye(width, new TensorOptions(ScalarType.Double));
    double mean = metric.trace().item_double() / width;
    for (double jitter = FLOOR; jitter < 1; jitter *= 10) {
      T_TensorTensor_T root =
          linalg_cholesky_ex(metric.add(identity.mul(new Scalar(jitter * mean))));
      if (root.get1().item_int() == 0) {
        return root.get0();
      }
    }
    throw new ArithmeticException("the calibration's covariances are not finite");
  }

  private Tensor weighted(Tensor metric, Tensor weight) {
    Tensor heads = weight.to(ScalarType.Double).view(kvHeads, d, -1);
    return metric.matmul(heads).reshape((long) kvHeads * d, -1).mm(inputMetric);
  }

  /**
   * Factors with the keys' block scaled by {@code balance} after both blocks are brought to equal
   * norm.
   *
   * @param rank C, at most the rows of keys and values and at most Z
   */
  Factors factor(int rank, double balance) {
    double norm = keys.norm().item_double();
    double scale = norm > 0 ? balance * values.norm().item_double() / norm : 1;
    Tensor stacked = cat(new TensorVector(keys.mul(new Scalar(scale)), values), 0);
    Tensor right = rightVectors(stacked, rank);
    Tensor up = stacked.mm(right);
    long rows = (long) kvHeads * d;
    Tensor down = linalg_solve_triangular(inputMetric.t(), right, true).t();
    return new Factors(
        down.to(ScalarType.Float).contiguous(),
        unweighted(keyMetric, up.narrow(0, 0, rows).div(new Scalar(scale)), rank),
        unweighted(valueMetric, up.narrow(0, rows, rows), rank));
  }

  /** The strongest right singular vectors as columns, [Z, rank], from the smaller Gram matrix. */
  private static Tensor rightVectors(Tensor matrix, int rank) {
    if (matrix.size(0) >= matrix.size(1)) {
      return strongest(matrix.t().mm(matrix), rank);
    }
    Tensor left = strongest(matrix.mm(matrix.t()), rank);
    Tensor right = matrix.t().mm(left);
    return right.div(
        right
            .square()
            .sum(new long[] {0}, true, new ScalarTypeOptional())
            .sqrt()
            .clamp_min(new Scalar(1e-300)));
  }

  private static Tensor strongest(Tensor gram, int rank) {
    Tensor vectors = linalg_eigh(gram).get1();
    return vectors.narrow(1, vectors.size(1) - rank, rank).flip(1);
  }

  private Tensor unweighted(Tensor metric, Tensor up, int rank) {
    return linalg_solve(metric, up.reshape(kvHeads, d, rank)).to(ScalarType.Float).contiguous();
  }
}
