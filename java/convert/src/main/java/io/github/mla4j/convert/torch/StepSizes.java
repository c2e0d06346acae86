package io.github.mla4j.convert.torch;

import java.util.HashMap;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;

/**
 * What a learning rate is a share of: a tensor's size, the root of its mean square before training.
 * The factors of a conversion differ in size a hundredfold, and a step moves every element by about
 * the rate.
 */
public final class StepSizes {
  // A bias of zeros has no size of its own.
  private static final double SMALLEST = 1e-3;

  private final Map<String, Double> sizes = new HashMap<>();

  /** Measures all parameters. */
  public StepSizes(Parameters parameters) {
    parameters.all().forEach((name, tensor) -> sizes.put(name, Math.max(size(tensor), SMALLEST)));
  }

  private static double size(Tensor tensor) {
    return TorchScope.computeWithoutGradients(
        () -> Math.sqrt(tensor.square().mean().item_double()));
  }

  /** Of the parameter of this name. */
  public double of(String name) {
    return sizes.get(name);
  }
}
