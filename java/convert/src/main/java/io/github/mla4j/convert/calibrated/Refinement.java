package io.github.mla4j.convert.calibrated;

import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.torch.GradientWorkers;
import io.github.mla4j.convert.torch.Parameters;
import io.github.mla4j.convert.torch.TorchScope;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

/**
 * Fits a converted layer's attention to what would bring the residual stream back to the source's,
 * given inputs that the layers before it, already converted, have made. Adam on two windows a step,
 * in turn; every tensor moves by a share of its own size, and that share falls to zero.
 */
final class Refinement {
  // One for each of two cores; the same everywhere, so that results are too.
  private static final int WINDOWS_A_STEP = 2;

  private static final double RATE = 5e-3;
  private static final double FIRST_DECAY = 0.9;
  private static final double SECOND_DECAY = 0.98;
  private static final double EPSILON = 1e-8;
  // A tensor of zeros, such as the output's bias, has no size of its own.
  private static final double SMALLEST_SIZE = 1e-3;

  private final ModelConfig config;
  private final int steps;

  Refinement(ModelConfig config, int steps) {
    this.config = config;
    this.steps = steps;
  }

  /**
   * Returns a new attention; the given one stays as it is.
   *
   * @param inputs what the attention reads, [T, D] a window
   * @param wanted what it should add to the residual stream, [T, D] a window
   */
  LatentAttention refine(LatentAttention start, List<Tensor> inputs, List<Tensor> wanted) {
    boolean biased = start.queryBias().count_nonzero().item_long() > 0;
    LatentAttention moving =
        new LatentAttention(
            moving(start.query()),
            biased ? moving(start.queryBias()) : start.queryBias(),
            start.whole().map(heads -> heads.withMaps(Refinement::moving)),
            moving(start.rotaryKey()),
            biased ? moving(start.rotaryKeyBias()) : start.rotaryKeyBias(),
            start.frequencies(),
            moving(start.down()),
            moving(start.keyUp()),
            moving(start.valueUp()),
            moving(start.output()),
            moving(start.outputBias()));
    try (Parameters parameters = new Parameters()) {
      for (Tensor tensor : tensors(moving)) {
        if (tensor.requires_grad() && tensor.numel() > 0) {
          parameters.add(Integer.toString(parameters.all().size()), tensor);
        }
      }
      try (GradientWorkers workers = new GradientWorkers(parameters, WINDOWS_A_STEP)) {
        List<Moment> moments = parameters.all().values().stream().map(Moment::new).toList();
        for (int step = 0; step < steps; step++) {
          step(moving, moments, workers, inputs, wanted, step);
        }
      }
    }
    tensors(moving).forEach(tensor -> tensor.requires_grad_(false));
    return moving;
  }

  private static Tensor moving(Tensor tensor) {
    return TorchScope.nested(() -> tensor.clone()).requires_grad_(true);
  }

  private static List<Tensor> tensors(LatentAttention attention) {
    List<Tensor> tensors =
        new ArrayList<>(
            List.of(
                attention.query(),
                attention.queryBias(),
                attention.rotaryKey(),
                attention.rotaryKeyBias(),
                attention.down(),
                attention.keyUp(),
                attention.valueUp(),
                attention.output(),
                attention.outputBias()));
    attention.whole().ifPresent(heads -> tensors.addAll(heads.maps()));
    return tensors;
  }

  private void step(
      LatentAttention moving,
      List<Moment> moments,
      GradientWorkers workers,
      List<Tensor> inputs,
      List<Tensor> wanted,
      int step) {
    List<Supplier<Tensor>> losses = new ArrayList<>();
    for (int i = 0; i < WINDOWS_A_STEP; i++) {
      int window = (step * WINDOWS_A_STEP + i) % inputs.size();
      losses.add(
          () -> LayerError.of(moving.forward(config, inputs.get(window)), wanted.get(window)));
    }
    double share = RATE * (1 - (double) step / steps);
    TorchScope.runWithoutGradients(
        () -> {
          List<Tensor> gradients = workers.differentiate(losses).gradients();
          for (int i = 0; i < moments.size(); i++) {
            moments.get(i).move(gradients.get(i), share, step + 1);
          }
        });
  }

  /** A tensor with its running means of gradients and of their squares (Adam, arXiv 1412.6980). */
  private static final class Moment {
    private final Tensor tensor;
    private final Tensor mean;
    private final Tensor square;
    private final double size;

    Moment(Tensor tensor) {
      this.tensor = tensor;
      this.mean = TorchScope.nested(() -> tensor.mul(new Scalar(0)));
      this.square = TorchScope.nested(() -> tensor.mul(new Scalar(0)));
      this.size =
          TorchScope.computeWithoutGradients(
              () -> Math.max(Math.sqrt(tensor.square().mean().item_double()), SMALLEST_SIZE));
    }

    void move(Tensor gradient, double share, int step) {
      mean.mul_(new Scalar(FIRST_DECAY)).add_(gradient, new Scalar(1 - FIRST_DECAY));
      square.mul_(new Scalar(SECOND_DECAY)).add_(gradient.square(), new Scalar(1 - SECOND_DECAY));
      Tensor spread =
          square
              .div(new Scalar(1 - Math.pow(SECOND_DECAY, step)))
              .sqrt_()
              .add_(new Scalar(EPSILON));
      double rate = share * size / (1 - Math.pow(FIRST_DECAY, step));
      tensor.sub_(mean.div(spread), new Scalar(rate));
    }
  }
}
