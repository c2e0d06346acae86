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
import io.github.mla4j.convert.torch.TorchScope;
import java.util.List;
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
 * ({@link LatentInput}), of Z elements. Double precision: singles would halve the time of a wide
 * layer's decomposition, but lose what is below 10⁻⁷ of the strongest direction.
 */
final class LatentFactor {
  // Of the greatest eigenvalue: what is less has not been seen and must not be divided by.
  private static final double FLOOR = 1e-7;

  private final int kvHeads;
  private final int d;
  private final WindowWorkers workers;
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
   * The large matrices belong to the {@code TorchScope} around the constructor.
   *
   * @param otherKeys keys besides rotary parts, [kvHeads · d, D] of x, or [kvHeads · d, kvHeads ·
   *     d] of normed keys
   * @param workers on which keys and values are worked on side by side
   */
  LatentFactor(
      ModelConfig config,
      PlainLayer layer,
      AttentionStatistics statistics,
      Tensor otherKeys,
      WindowWorkers workers) {
    kvHeads = config.kvHeadCount();
    d = config.headLength();
    this.workers = workers;
    keyMetric = root(statistics.queries()).div_(new Scalar(Math.sqrt(d)));
    valueMetric = TorchScope.nested(() -> root(outputGram(config, layer)));
    inputMetric = TorchScope.nested(() -> triangularRoot(metric(statistics)));
    Tensor keyMap = otherKeys;
    Tensor valueMap = layer.value;
    if (LatentInput.normsHeads(config)) {
      keyMap = LatentInput.beside(zeros_like(layer.value), otherKeys);
      valueMap = LatentInput.beside(layer.value, zeros_like(otherKeys));
    }
    List<Tensor> maps = List.of(keyMap, valueMap);
    List<Tensor> metrics = List.of(keyMetric, valueMetric);
    List<Tensor> both = workers.map(2, i -> weighted(metrics.get(i), maps.get(i)).mm(inputMetric));
    keys = both.get(0);
    values = both.get(1);
  }

  /** C_k/tr C_k + C/tr C. */
  private static Tensor metric(AttentionStatistics statistics) {
    Tensor attended = statistics.attendedInputs();
    Tensor inputs = statistics.inputs();
    return attended
        .div(new Scalar(attended.trace().item_double()))
        .add_(inputs.div(new Scalar(inputs.trace().item_double())));
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
        return new Tensor(root.get0()); // the pair owns its own
      }
    }
    throw new ArithmeticException("the calibration's covariances are not finite");
  }

  /** L W. */
  private static Tensor weighted(Tensor metric, Tensor weight) {
    Tensor heads =
        weight.to(ScalarType.Double).view(metric.size(0), metric.size(1), weight.size(1));
    return metric.matmul(heads).reshape(-1, weight.size(1));
  }

  /**
   * Factors with the keys' block scaled by {@code balance} after both blocks are brought to equal
   * norm.
   *
   * @param rank C, at most the rows of keys and values and at most Z
   */
  Factors factor(int rank, double balance) {
    List<Tensor> factors = TorchScope.nestedAll(() -> factors(rank, balance));
    return new Factors(factors.get(0), factors.get(1), factors.get(2));
  }

  private List<Tensor> factors(int rank, double balance) {
    double norm = keys.norm().item_double();
    double scale = norm > 0 ? balance * values.norm().item_double() / norm : 1;
    Tensor scaled = keys.mul(new Scalar(scale));
    Tensor right = TorchScope.nested(() -> rightVectors(scaled, rank));
    return workers.map(
        3,
        i ->
            switch (i) {
              case 0 ->
                  linalg_solve_triangular(inputMetric.t(), right, true)
                      .t()
                      .to(ScalarType.Float)
                      .contiguous();
              case 1 -> unweighted(keyMetric, scaled.mm(right).div_(new Scalar(scale)), rank);
              default -> unweighted(valueMetric, values.mm(right), rank);
            });
  }

  /**
   * The strongest right singular vectors of keys and values, one below the other, as columns [Z,
   * rank], from the smaller Gram matrix.
   */
  private Tensor rightVectors(Tensor scaled, int rank) {
    List<Tensor> blocks = List.of(scaled, values);
    if (scaled.size(0) + values.size(0) >= scaled.size(1)) {
      List<Tensor> grams = workers.map(2, i -> blocks.get(i).t().mm(blocks.get(i)));
      return strongest(grams.get(0).add_(grams.get(1)), rank);
    }
    Tensor matrix = cat(new TensorVector(scaled, values), 0);
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
