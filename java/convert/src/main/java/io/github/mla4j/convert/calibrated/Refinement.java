package io.github.mla4j.convert.calibrated;

import io.github.mla4j.CancelledException;
import io.github.mla4j.convert.torch.GradientWorkers;
import io.github.mla4j.convert.torch.HeadwiseOptimizer;
import io.github.mla4j.convert.torch.MatrixBlocks;
import io.github.mla4j.convert.torch.Parameters;
import io.github.mla4j.convert.torch.StepSizes;
import io.github.mla4j.convert.torch.TorchScope;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.IntFunction;
import java.util.function.Supplier;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Fits converted attentions to a loss over windows, two a step, in turn: Muon for matrices, head by
 * head, Adam for biases. Every tensor moves by a share of its own size. That share is the larger
 * the more is wrong at first (by the fourth root of the loss), and falls to zero: Muon's steps are
 * as long where little is left to gain as where there is much.
 */
final class Refinement {
  // One for each of two cores; the same everywhere, so that results are too.
  private static final int WINDOWS_A_STEP = 2;

  /** Steps in which the share rises, while Adam's means are still of few gradients. */
  private static final int WARM_UP = 5;

  private static final double FIRST_DECAY = 0.9;
  private static final double SECOND_DECAY = 0.98;

  private final ScalarType type;
  private final int steps;
  private final double pace;

  /**
   * @param type in which losses are computed; what moves is float32 always
   * @param steps of two windows
   * @param pace share of a tensor's size (root mean square) that its elements move in a step, were
   *     the output wholly wrong at first: a loss of 1
   */
  Refinement(ScalarType type, int steps, double pace) {
    this.type = type;
    this.steps = steps;
    this.pace = pace;
  }

  /**
   * A scalar tensor for a window, with gradients: a squared error as a share of what is wanted, of
   * attentions in the type of the fit.
   */
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
    TorchScope.runWithoutGradients(() -> fit(moving, windows, loss));
    moving.forEach(
        attention -> parts(attention).forEach(part -> part.tensor.requires_grad_(false)));
    return moving;
  }

  private void fit(List<LatentAttention> moving, int windows, Loss loss) {
    List<LatentAttention> rough = moving.stream().map(each -> each.in(type)).toList();
    Map<String, MatrixBlocks> blocks = new HashMap<>();
    try (Parameters parameters = new Parameters();
        Parameters copies = new Parameters()) {
      for (int i = 0; i < moving.size(); i++) {
        List<Part> parts = parts(moving.get(i));
        List<Part> copied = parts(rough.get(i));
        for (int p = 0; p < parts.size(); p++) {
          Part part = parts.get(p);
          if (part.tensor.requires_grad() && part.tensor.numel() > 0) {
            String name = Integer.toString(parameters.all().size());
            parameters.add(name, part.tensor);
            copies.add(name, copied.get(p).tensor);
            part.blocks.ifPresent(heads -> blocks.put(name, heads));
          }
        }
      }
      fit(parameters, copies, blocks, windows, window -> loss.of(rough, window));
    }
  }

  /**
   * @param copies of the parameters, which the loss reads and gradients are of: made anew in each
   *     window, they would take more time than the products of small windows
   */
  private void fit(
      Parameters parameters,
      Parameters copies,
      Map<String, MatrixBlocks> blocks,
      int windows,
      IntFunction<Tensor> loss) {
    StepSizes sizes = new StepSizes(parameters);
    try (GradientWorkers workers = new GradientWorkers(copies, WINDOWS_A_STEP);
        HeadwiseOptimizer optimizer =
            new HeadwiseOptimizer(parameters.all(), blocks, FIRST_DECAY, SECOND_DECAY)) {
      double firstLoss = 0;
      for (int step = 0; step < steps; step++) {
        if (Thread.interrupted()) {
          throw new CancelledException("the conversion was cancelled");
        }
        List<Supplier<Tensor>> losses = new ArrayList<>();
        for (int i = 0; i < WINDOWS_A_STEP; i++) {
          int window = (step * WINDOWS_A_STEP + i) % windows;
          losses.add(() -> loss.apply(window));
        }
        double share = Math.min(1, (step + 1.0) / WARM_UP) * (1 - (double) step / steps);
        long number = step + 1;
        double known = firstLoss;
        firstLoss =
            TorchScope.compute(
                () -> {
                  GradientWorkers.Result result = workers.differentiate(losses);
                  double first = number == 1 ? result.loss() : known;
                  double rate = pace * Math.sqrt(Math.sqrt(first)) * share;
                  workers.run(
                      optimizer.updates(
                          parameters.named(result.gradients()),
                          number,
                          name -> rate * sizes.of(name)));
                  return first;
                });
        workers.run(renewed(parameters, copies));
      }
    }
  }

  private static List<Runnable> renewed(Parameters parameters, Parameters copies) {
    List<Runnable> parts = new ArrayList<>();
    parameters
        .all()
        .forEach(
            (name, tensor) ->
                parts.add(
                    () ->
                        TorchScope.runWithoutGradients(
                            () -> copies.all().get(name).copy_(tensor))));
    return parts;
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

  /** A tensor, and its heads where it is a matrix. */
  private record Part(Tensor tensor, Optional<MatrixBlocks> blocks) {
    static Part matrix(Tensor tensor, MatrixBlocks blocks) {
      return new Part(tensor, Optional.of(blocks));
    }

    static Part bias(Tensor tensor) {
      return new Part(tensor, Optional.empty());
    }
  }

  private static List<Part> parts(LatentAttention attention) {
    int heads = attention.heads();
    int kvHeads = attention.kvHeads();
    List<Part> parts =
        new ArrayList<>(
            List.of(
                Part.matrix(attention.query(), MatrixBlocks.below(heads)),
                Part.bias(attention.queryBias()),
                Part.matrix(attention.rotaryKey(), MatrixBlocks.below(attention.ropeGroups())),
                Part.bias(attention.rotaryKeyBias()),
                Part.matrix(attention.down(), MatrixBlocks.WHOLE),
                Part.matrix(attention.keyUp(), MatrixBlocks.below(kvHeads)),
                Part.matrix(attention.valueUp(), MatrixBlocks.below(kvHeads)),
                Part.matrix(attention.output(), MatrixBlocks.beside(heads)),
                Part.bias(attention.outputBias())));
    attention
        .whole()
        .ifPresent(
            whole -> {
              parts.add(Part.matrix(whole.rotaryQuery(), MatrixBlocks.below(heads)));
              parts.add(Part.matrix(whole.key(), MatrixBlocks.below(kvHeads)));
            });
    return parts;
  }
}
