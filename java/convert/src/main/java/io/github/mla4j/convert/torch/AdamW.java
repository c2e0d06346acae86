package io.github.mla4j.convert.torch;

import static org.bytedeco.pytorch.global.torch.zeros_like;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.ToDoubleFunction;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

/**
 * Adam with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101).
 *
 * <p>Vectors (norms) are not decayed. The two moments are plain tensors, so that a checkpoint can
 * hold them. Not thread-safe.
 */
public final class AdamW implements AutoCloseable {
  // PyTorch's default.
  private static final double EPSILON = 1e-8;

  private final Map<String, Tensor> parameters;
  private final double firstDecay;
  private final double secondDecay;
  private final double weightDecay;
  private final double epsilon;
  private final Map<String, Moments> moments = new LinkedHashMap<>();

  /** Running means of the gradient and of its square, shaped like the parameter. */
  public record Moments(Tensor mean, Tensor square) {}

  /**
   * @param parameters what to train, by name; stay owned by the caller
   * @param firstDecay decay of the mean of gradients, such as 0.9
   * @param secondDecay decay of the mean of squared gradients, such as 0.95
   * @param weightDecay share of a matrix, times the learning rate, that a step takes away
   */
  public AdamW(
      Map<String, Tensor> parameters, double firstDecay, double secondDecay, double weightDecay) {
    this(parameters, firstDecay, secondDecay, weightDecay, EPSILON);
  }

  /** The same, with another floor under the root of the mean of squares. */
  AdamW(
      Map<String, Tensor> parameters,
      double firstDecay,
      double secondDecay,
      double weightDecay,
      double epsilon) {
    this.parameters = new LinkedHashMap<>(parameters);
    this.firstDecay = firstDecay;
    this.secondDecay = secondDecay;
    this.weightDecay = weightDecay;
    this.epsilon = epsilon;
    TorchScope.runWithoutGradients(
        () ->
            parameters.forEach(
                (name, tensor) ->
                    moments.put(
                        name,
                        new Moments(
                            TorchScope.keep(zeros_like(tensor)),
                            TorchScope.keep(zeros_like(tensor))))));
  }

  /** The moments by parameter name; owned by this object. */
  public Map<String, Moments> moments() {
    return Map.copyOf(moments);
  }

  /**
   * Moves every parameter along its gradient.
   *
   * @param gradients by name, of each parameter
   * @param step number of this step, the first being 1
   */
  public void step(Map<String, Tensor> gradients, long step, double learningRate) {
    updates(gradients, step, name -> learningRate).forEach(Runnable::run);
  }

  /**
   * What {@link #step} does, a part for each parameter; they may run at the same time.
   *
   * @param learningRate of the parameter of this name
   */
  public List<Runnable> updates(
      Map<String, Tensor> gradients, long step, ToDoubleFunction<String> learningRate) {
    double meanBias = 1 - Math.pow(firstDecay, step);
    double squareBias = 1 - Math.pow(secondDecay, step);
    List<Runnable> updates = new ArrayList<>();
    parameters.forEach(
        (name, tensor) -> {
          Tensor gradient = gradients.get(name);
          double rate = learningRate.applyAsDouble(name);
          Moments moment = moments.get(name);
          updates.add(
              () ->
                  TorchScope.runWithoutGradients(
                      () -> update(tensor, gradient, moment, rate, meanBias, squareBias)));
        });
    return updates;
  }

  private void update(
      Tensor tensor,
      Tensor gradient,
      Moments moment,
      double learningRate,
      double meanBias,
      double squareBias) {
    moment.mean.lerp_(gradient, new Scalar(1 - firstDecay));
    moment.square.mul_(new Scalar(secondDecay));
    moment.square.addcmul_(gradient, gradient, new Scalar(1 - secondDecay));
    if (tensor.dim() > 1) {
      tensor.mul_(new Scalar(1 - learningRate * weightDecay));
    }
    Tensor spread = moment.square.sqrt();
    spread.mul_(new Scalar(1 / Math.sqrt(squareBias)));
    spread.add_(new Scalar(epsilon));
    tensor.addcdiv_(moment.mean, spread, new Scalar(-learningRate / meanBias));
  }

  @Override
  public void close() {
    moments
        .values()
        .forEach(
            m -> {
              TorchScope.release(m.mean);
              TorchScope.release(m.square);
            });
    moments.clear();
  }
}
