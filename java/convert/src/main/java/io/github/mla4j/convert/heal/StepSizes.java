package io.github.mla4j.convert.heal;

import io.github.mla4j.convert.torch.Parameters;
import io.github.mla4j.convert.torch.TorchScope;
import java.util.HashMap;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;

/**
 * What a learning rate is a share of: a tensor's size, the root of its mean square before training.
 * The factors of a conversion differ in size a hundredfold, and Adam moves every element by about
 * the rate.
 */
final class StepSizes {
  // A bias of zeros has no size of its own.
  private static final double SMALLEST = 1e-3;

  private final Map<String, Double> sizes = new HashMap<>();

  /** Measures all parameters. */
  StepSizes(Parameters parameters) {
    parameters.all().forEach((name, tensor) -> sizes.put(name, Math.max(size(tensor), SMALLEST)));
  }

  private static double size(Tensor tensor) {
    return TorchScope.computeWithoutGradients(
        () -> Math.sqrt(tensor.square().mean().item_double()));
  }

  /** Of the parameter of this name. */
  double of(String name) {
    return sizes.get(name);
  }
}
