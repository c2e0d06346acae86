package io.github.mla4j.convert.calibrated;

import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.torch.TorchScope;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.stream.DoubleStream;
import org.bytedeco.pytorch.Tensor;

/**
 * A layer of the source with what its attention does on the calibration windows, from which
 * conversions of any size are made. Its tensors belong to the {@code TorchScope} in which it is
 * measured.
 */
final class MeasuredLayer {
  /** Windows that a worker measures before its sums are added: a wide layer's are large. */
  private static final int RUN = 4;

  private final ModelConfig config;
  private final PlainLayer layer;
  private final List<ComponentBlock> blocks;
  private final WindowWorkers workers;
  private final List<ComponentBasis> bases;
  private final AttentionStatistics statistics;
  private final List<ComponentChoice> choices = new ArrayList<>();

  /**
   * @param seed of the queries that are sampled
   */
  MeasuredLayer(
      ModelConfig config,
      List<ComponentBlock> blocks,
      WindowWorkers workers,
      long seed,
      AttentionInputs inputs) {
    this.config = config;
    this.layer = inputs.layer();
    this.blocks = blocks;
    this.workers = workers;
    this.bases = ComponentBasis.of(blocks, workers, inputs.count(), w -> layer.keys(inputs.of(w)));
    this.statistics = measure(seed, inputs);
    for (int b = 0; b < blocks.size(); b++) {
      double[] covariance = new double[9 * blocks.get(b).components() * blocks.get(b).components()];
      statistics.components(b).contiguous().data_ptr_double().get(covariance);
      choices.add(new ComponentChoice(covariance, blocks.get(b).components()));
    }
  }

  /** Sums in the order of the windows, however many are measured at a time. */
  private AttentionStatistics measure(long seed, AttentionInputs inputs) {
    AttentionStatistics all = statistics(inputs.count());
    int runs = (inputs.count() + RUN - 1) / RUN;
    for (int first = 0; first < runs; first += workers.count()) {
      int start = first;
      int count = Math.min(workers.count(), runs - start);
      AttentionStatistics[] parts = new AttentionStatistics[count];
      TorchScope.runWithoutGradients(
          () -> {
            List<List<Tensor>> sums =
                workers.mapAll(
                    count,
                    i -> {
                      parts[i] = run(seed, inputs, (start + i) * RUN);
                      return parts[i].sums();
                    });
            for (int i = 0; i < count; i++) {
              all.merge(parts[i], sums.get(i));
            }
          });
    }
    return all;
  }

  private AttentionStatistics run(long seed, AttentionInputs inputs, int first) {
    AttentionStatistics sums = statistics(inputs.count());
    for (int w = first; w < Math.min(first + RUN, inputs.count()); w++) {
      int window = w;
      TorchScope.run(() -> sums.add(inputs.of(window), seed + window));
    }
    return sums;
  }

  private AttentionStatistics statistics(int windows) {
    return new AttentionStatistics(config, layer, blocks, bases, windows);
  }

  /** Conversions that keep the rotation of so many components of each block. */
  Split keeping(int ropePairs) {
    RotaryPart rotary = RotaryPart.split(config, layer, blocks, bases, choices, ropePairs);
    return new Split(
        rotary, new LatentFactor(config, layer, statistics, rotary.otherKeys(), workers));
  }

  /**
   * Of conversions of all sizes and balances the one whose output is nearest to the source's.
   *
   * @param x what the attention reads, [T, D]
   * @param wanted what the source's adds to the residual stream, [T, D]
   */
  LatentAttention best(List<LayerSizes> sizes, double[] balances, Tensor x, Tensor wanted) {
    int best = sizes.size() * balances.length == 1 ? 0 : nearest(sizes, balances, x, wanted);
    // Made once more: the tensors of all of them together are many times a layer's.
    LayerSizes chosen = sizes.get(best / balances.length);
    return keeping(chosen.ropePairs()).of(chosen.rank(), balances[best % balances.length]);
  }

  /** Counted over the balances of the first size, then of the next. */
  private int nearest(List<LayerSizes> sizes, double[] balances, Tensor x, Tensor wanted) {
    List<Double> errors =
        workers
            .mapAll(
                sizes.size(),
                i -> {
                  Split split = keeping(sizes.get(i).ropePairs());
                  return DoubleStream.of(balances)
                      .mapToObj(balance -> split.of(sizes.get(i).rank(), balance))
                      .map(each -> LayerError.of(each.forward(config, x), wanted))
                      .toList();
                })
            .stream()
            .flatMap(List::stream)
            .map(Tensor::item_double)
            .toList();
    return errors.indexOf(Collections.min(errors));
  }

  /** The layer with its rotary part chosen, and a latent of any rank. */
  final class Split {
    private final RotaryPart rotary;
    private final LatentFactor factor;

    private Split(RotaryPart rotary, LatentFactor factor) {
      this.rotary = rotary;
      this.factor = factor;
    }

    /**
     * @param rank C
     * @param balance of keys against values, see {@link LatentFactor#factor}
     */
    LatentAttention of(int rank, double balance) {
      return LatentAttention.of(config, layer, rotary, factor.factor(rank, balance));
    }
  }
}
