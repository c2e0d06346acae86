package io.github.mla4j.convert.heal;

import static org.bytedeco.pytorch.global.torch.linalg_vector_norm;

import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** An RMS norm with its derivative in closed form: y = w · n, n = x · r, r = 1 / rms(x). */
final class RmsNorm {
  private final Tensor weight; // [D], float32
  private final double epsilon;
  private final ScalarType compute;

  /**
   * @param compute the type of what is normed
   */
  RmsNorm(Tensor weight, double epsilon, ScalarType compute) {
    this.weight = weight;
    this.epsilon = epsilon;
    this.compute = compute;
  }

  /**
   * 1 / rms of every row, [N, 1].
   *
   * @param x [N, D], float32
   */
  Tensor inverse(Tensor x) {
    double width = x.size(1);
    Tensor length =
        linalg_vector_norm(x, new Scalar(2), new long[] {1}, true, new ScalarTypeOptional());
    return length.square_().mul_(new Scalar(1 / width)).add_(new Scalar(epsilon)).rsqrt_();
  }

  /** What follows reads, [N, D] in the compute type. */
  Tensor apply(Tensor x, Tensor inverse) {
    return x.mul(inverse).mul_(weight).to(compute);
  }

  /**
   * The gradient by {@code x}, float32: r · (w·g − n · mean(w·g · n)).
   *
   * @param gradient by the result of {@link #apply}
   */
  Tensor backward(Tensor x, Tensor inverse, Tensor gradient) {
    Tensor g = weight.mul(gradient);
    Tensor n = x.mul(inverse);
    Tensor along = g.mul(n).mean(1).unsqueeze(1);
    return g.addcmul_(n, along, new Scalar(-1)).mul_(inverse);
  }

  /** The gradient by the weight, [D]. */
  Tensor weightGradient(Tensor x, Tensor inverse, Tensor gradient) {
    return x.mul(inverse).mul_(gradient).sum(0);
  }
}
