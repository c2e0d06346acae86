package io.github.mla4j.convert.torch;

import static org.bytedeco.pytorch.global.torch.createCPUGenerator;
import static org.bytedeco.pytorch.global.torch.empty_like;

import org.bytedeco.pytorch.Generator;
import org.bytedeco.pytorch.GeneratorOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

/**
 * Sets a random share of a tensor's elements to zero while training and scales the others up.
 *
 * <p>Draws from a generator of its own, not from PyTorch's global one, so that what one thread
 * drops does not depend on what another does. Not thread-safe.
 */
@FunctionalInterface
public interface Dropout {
  /** Leaves everything as it is, for evaluation. */
  Dropout NONE = x -> x;

  /** A new tensor with elements dropped, or {@code x} itself. */
  Tensor apply(Tensor x);

  /**
   * Drops elements at random; lives as long as the {@link TorchScope} in which it is made.
   *
   * @param share of elements set to zero, 0 to below 1
   * @param seed the same seed drops the same elements
   */
  static Dropout seeded(double share, long seed) {
    if (!(share >= 0 && share < 1)) {
      throw new IllegalArgumentException("dropout is " + share + ", expected 0 to below 1");
    }
    if (share == 0) {
      return NONE;
    }
    Generator generator = createCPUGenerator(seed);
    Scalar scale = new Scalar(1 / (1 - share));
    return x -> {
      Tensor kept = empty_like(x).bernoulli_(1 - share, new GeneratorOptional(generator));
      return x.mul(kept.mul_(scale));
    };
  }
}
