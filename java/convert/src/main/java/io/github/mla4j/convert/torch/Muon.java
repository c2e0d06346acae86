package io.github.mla4j.convert.torch;

import static org.bytedeco.pytorch.global.torch.zeros_like;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.ToDoubleFunction;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

/**
 * Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon): a matrix moves along the running
 * mean of its gradients with all singular values brought to about one, so that weak directions
 * learn as fast as strong ones. Blocks of a matrix are brought there one by one, which costs a
 * matrix of heads a fraction of what the whole would.
 *
 * <p>The elements of a block move by the rate, as a root mean square, so that a rate means what it
 * means to {@link AdamW} (Liu et al., arXiv 2502.16982). Means are plain tensors, so that a
 * checkpoint can hold them. Not thread-safe.
 */
final class Muon implements AutoCloseable {
  // A quintic's, found by Jordan et al.: steep at zero, and from 0.7 to 1.2 after five rounds.
  private static final double LINEAR = 3.4445;
  private static final double CUBIC = -4.7750;
  private static final double QUINTIC = 2.0315;
  private static final int ROUNDS = 5;
  // A gradient of zeros moves nothing.
  private static final double SMALLEST_SQUARE = 1e-37;

  private final Map<String, Tensor> matrices;
  private final Map<String, MatrixBlocks> blocks;
  private final double decay;
  private final Map<String, Tensor> means = new LinkedHashMap<>();

  /**
   * @param matrices what to train, by name; stay owned by the caller
   * @param blocks of each of them
   * @param decay of the mean of gradients, such as 0.9
   */
  Muon(Map<String, Tensor> matrices, Map<String, MatrixBlocks> blocks, double decay) {
    this.matrices = new LinkedHashMap<>(matrices);
    this.blocks = Map.copyOf(blocks);
    this.decay = decay;
    TorchScope.runWithoutGradients(
        () ->
            matrices.forEach(
                (name, matrix) -> means.put(name, TorchScope.keep(zeros_like(matrix)))));
  }

  /** The running means by name; owned by this object. */
  Map<String, Tensor> means() {
    return Collections.unmodifiableMap(means);
  }

  /**
   * Moves all matrices, a part for each; the parts may run at the same time.
   *
   * @param gradients by name, of each matrix; their memory is used, and they are none afterwards
   * @param learningRate of the matrix of this name
   */
  List<Runnable> updates(Map<String, Tensor> gradients, ToDoubleFunction<String> learningRate) {
    List<Runnable> updates = new ArrayList<>();
    matrices.forEach(
        (name, matrix) -> {
          Tensor gradient = gradients.get(name);
          double rate = learningRate.applyAsDouble(name);
          updates.add(
              () ->
                  TorchScope.runWithoutGradients(
                      () -> update(matrix, gradient, means.get(name), blocks.get(name), rate)));
        });
    return updates;
  }

  private void update(
      Tensor matrix, Tensor gradient, Tensor mean, MatrixBlocks blocks, double rate) {
    mean.lerp_(gradient, new Scalar(1 - decay));
    // One step further along the mean, as Nesterov has it.
    Tensor direction = blocks.split(gradient.lerp_(mean, new Scalar(decay)));
    // min(r, c) singular values of one over r · c elements.
    double size = Math.sqrt(Math.max(direction.size(1), direction.size(2)));
    matrix.add_(blocks.join(orthogonal(direction), matrix), new Scalar(-rate * size));
  }

  /**
   * Matrices of the same singular vectors, their singular values brought to about one by
   * Newton-Schulz iterations, X ← (a + b·G + c·G²)·X with G = X·Xᵀ. A round multiplies G's
   * polynomial by X alone, and polynomials of one matrix commute; so rounds go on with G, which is
   * small, and X is multiplied once by the product of all.
   *
   * @param matrices [count, r, c]
   */
  static Tensor orthogonal(Tensor matrices) {
    boolean tall = matrices.size(1) > matrices.size(2);
    Tensor wide = tall ? matrices.transpose(1, 2) : matrices;
    Tensor gram = wide.bmm(wide.transpose(1, 2));
    Tensor square = trace(gram).add_(new Scalar(SMALLEST_SQUARE));
    gram.div_(square);
    Tensor product = polynomial(gram);
    Tensor factor = product;
    for (int round = 1; round < ROUNDS; round++) {
      gram = factor.bmm(gram).bmm(factor);
      factor = polynomial(gram);
      product = factor.bmm(product);
    }
    Tensor x = product.div_(square.sqrt_()).bmm(wide);
    return tall ? x.transpose(1, 2) : x;
  }

  private static Tensor polynomial(Tensor gram) {
    Tensor result =
        gram.mul(new Scalar(CUBIC)).baddbmm_(gram, gram, new Scalar(1), new Scalar(QUINTIC));
    diagonal(result).add_(new Scalar(LINEAR));
    return result;
  }

  /** The squared Frobenius norms of the matrices that this is the product of, [count, 1, 1]. */
  private static Tensor trace(Tensor gram) {
    return diagonal(gram).sum(1).view(-1, 1, 1);
  }

  private static Tensor diagonal(Tensor matrices) {
    return matrices.diagonal(0, 1, 2);
  }

  @Override
  public void close() {
    means.values().forEach(TorchScope::release);
    means.clear();
  }
}
