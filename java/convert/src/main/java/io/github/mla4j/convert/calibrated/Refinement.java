package io.github.mla4j.convert.calibrated;

import io.github.mla4j.CancelledException;
import io.github.mla4j.convert.torch.GradientWorkers;
import io.github.mla4j.convert.torch.Parameters;
import io.github.mla4j.convert.torch.TorchScope;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

/**
 * Fits converted attentions to a loss over windows: Adam on two windows a step, in turn; every
 * tensor moves by a share of its own size, and that share falls to zero.
 */
final class Refinement {
  // One for each of two cores; the same everywhere, so that results are too.
  private static final int WINDOWS_A_STEP = 2;

  /** Steps in which the share rises, while Adam's means are still of few gradients. */
  private static final int WARM_UP = 5;

  private static final double FIRST_DECAY = 0.9;
  private static final double SECOND_DECAY = 0.98;
  // Gradients of a loss that is a share of a whole model's stream are small.
  private static final double EPSILON = 1e-12;
  // A tensor of zeros, such as the output's bias, has no size of its own.
  private static final double SMALLEST_SIZE = 1e-3;

  private final int steps;
  private final double rate;

  /**
   * @param steps of two windows
   * @param rate share of a tensor's size (root mean square) that its elements move in a step
   */
  Refinement(int steps, double rate) {
    this.steps = steps;
    this.rate = rate;
  }

  /** A scalar tensor for a window, with gradients. */
  @FunctionalInterface
  interface Loss {
    Tensor of(List<LatentAttention> attentions, int window);
  }

  /**
   * Returns new attentions; the given ones stay as they are.
   *
   * @param windows how many the loss knows
   */
  List<LatentAttention> refine(List<LatentAttention> start, int windows, Loss loss) {
    List<LatentAttention> moving = start.stream().map(Refinement::moving).toList();
    try (Parameters parameters = new Parameters()) {
      for (LatentAttention attention : moving) {
        for (Tensor tensor : tensors(attention)) {
          if (tensor.requires_grad() && tensor.numel() > 0) {
            parameters.add(Integer.toString(parameters.all().size()), tensor);
          }
        }
      }
      try (GradientWorkers workers = new GradientWorkers(parameters, WINDOWS_A_STEP)) {
        List<Moment> moments = parameters.all().values().stream().map(Moment::new).toList();
        for (int step = 0; step < steps; step++) {
          step(moving, moments, workers, windows, loss, step);
        }
      }
    }
    moving.forEach(attention -> tensors(attention).forEach(tensor -> tensor.requires_grad_(false)));
    return moving;
  }

  private static LatentAttention moving(LatentAttention start) {
    boolean biased = start.queryBias().count_nonzero().item_long() > 0;
    return new LatentAttention(
        moving(start.query()),
        biased ? moving(start.queryBias()) : start.queryBias(),
        start.whole().map(heads -> heads.withMaps(Refinement::moving)),
        moving(start.rotaryKey()),
        biased ? moving(start.rotaryKeyBias()) : start.rotaryKeyBias(),
        start.frequencies(),
        moving(start.down()),
        start.downBias(),
        moving(start.keyUp()),
        moving(start.valueUp()),
        moving(start.output()),
        moving(start.outputBias()));
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
      List<LatentAttention> moving,
      List<Moment> moments,
      GradientWorkers workers,
      int windows,
      Loss loss,
      int step) {
    if (Thread.interrupted()) {
      throw new CancelledException("the conversion was cancelled");
    }
    List<Supplier<Tensor>> losses = new ArrayList<>();
    for (int i = 0; i < WINDOWS_A_STEP; i++) {
      int window = (step * WINDOWS_A_STEP + i) % windows;
      losses.add(() -> loss.of(moving, window));
    }
    double share = rate * Math.min(1, (step + 1.0) / WARM_UP) * (1 - (double) step / steps);
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
