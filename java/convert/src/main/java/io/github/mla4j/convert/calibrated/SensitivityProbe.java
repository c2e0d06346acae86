package io.github.mla4j.convert.calibrated;

import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.source.ModelSource;
import io.github.mla4j.convert.torch.TorchScope;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntConsumer;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Measures, in one pass over the layers, how much the model's predictions suffer from the
 * conversion of each layer alone. For every layer passed, a residual stream in which it is
 * converted goes on through the layers behind it beside the source's own; at the end, both give
 * next-token distributions. Memory holds one layer, a stream a layer and the windows. Not
 * thread-safe.
 */
final class SensitivityProbe {
  /** Sizes that layers are tried at, as shares of the even one. */
  private static final double[] SHARES = {0.6, 0.8, 1, 1.3, 1.7};

  /** Windows that layers are measured on: enough to rank sizes, which are chosen anew later. */
  private static final int WINDOWS = 12;

  /** Of the window set aside, on which the divergence is taken. */
  private static final int TOKENS = 512;

  private static final double BALANCE = 2;

  private final ModelSource source;
  private final ModelConfig config;
  private final CalibratedSettings settings;
  private final List<ComponentBlock> blocks;
  private final WindowWorkers workers;
  private final ScalarType type;
  private final int even;

  /**
   * @param type that MLPs are multiplied in
   */
  SensitivityProbe(
      ModelSource source, CalibratedSettings settings, WindowWorkers workers, ScalarType type) {
    this.source = source;
    this.config = source.config();
    this.settings = settings;
    this.blocks = ComponentBlock.of(config);
    this.workers = workers;
    this.type = type;
    this.even = settings.elements(config);
  }

  /**
   * @param streams embedded windows, [T, D]; divergence is measured on the last of them
   * @param layerDone told how many layers have been measured
   * @return of every layer
   */
  List<LayerSensitivity> measure(List<Tensor> streams, IntConsumer layerDone) {
    return TorchScope.computeWithoutGradients(() -> pass(streams, layerDone));
  }

  private List<LayerSensitivity> pass(List<Tensor> streams, IntConsumer layerDone) {
    int measured = Math.min(WINDOWS, Math.max(1, streams.size() - 1));
    Tensor last = streams.get(streams.size() - 1);
    List<Tensor> all = new ArrayList<>(streams.subList(0, measured));
    all.add(last.narrow(0, 0, Math.min(TOKENS, last.size(0)))); // then those with a converted layer
    int[] sizes = sizes();
    int evenAt =
        IntStream.range(0, sizes.length).filter(i -> sizes[i] == even).findFirst().getAsInt();
    List<double[]> errors = new ArrayList<>();
    for (int index = 0; index < config.blockCount(); index++) {
      int number = index;
      List<Tensor> before = all;
      List<double[]> layerErrors = errors;
      all = TorchScope.nestedAll(() -> through(number, before, measured, sizes, layerErrors));
      // What this pass has made would else live to its end.
      TorchScope.free(before.subList(index == 0 ? measured : 0, before.size()));
      layerDone.accept(index + 1);
    }
    double[] divergences =
        new NextTokens(source, workers)
            .divergences(all.get(measured), all.subList(measured + 1, all.size()));
    return IntStream.range(0, errors.size())
        .mapToObj(l -> new LayerSensitivity(sizes, errors.get(l), evenAt, divergences[l]))
        .toList();
  }

  /** The streams behind a layer, and one more, in which it is converted. */
  private List<Tensor> through(
      int index, List<Tensor> streams, int measured, int[] sizes, List<double[]> errors) {
    PlainLayer layer = new PlainLayer(source, index, type);
    AttentionInputs inputs = new AttentionInputs(layer, streams);
    List<Tensor> outputs = workers.map(streams.size(), i -> layer.attention(inputs.of(i)));
    Tensor x = inputs.of(measured);
    MeasuredLayer conversions =
        new MeasuredLayer(config, blocks, workers, settings.seed(), inputs.first(measured));
    double[] layerErrors = new double[sizes.length];
    List<Tensor> after = new ArrayList<>(streams);
    List<Tensor> changes = new ArrayList<>(outputs);
    List<Tensor> tried =
        workers.map(
            sizes.length,
            i -> {
              LayerSizes size =
                  LayerSizes.candidates(config, settings, sizes[i], blocks.size(), false).get(0);
              return conversions
                  .keeping(size.ropePairs())
                  .of(size.rank(), BALANCE)
                  .forward(config, x);
            });
    for (int i = 0; i < sizes.length; i++) {
      layerErrors[i] = LayerError.of(tried.get(i), outputs.get(measured)).item_double();
      if (sizes[i] == even) {
        after.add(streams.get(measured));
        changes.add(tried.get(i));
      }
    }
    errors.add(layerErrors);
    return workers.map(
        after.size(), i -> layer.feedForward.after(after.get(i).add(changes.get(i))));
  }

  /** Rising, the even one among them, all with room for the rotary dims asked for. */
  private int[] sizes() {
    int least = settings.ropeDims().orElse(0) * blocks.size() + 1;
    int most = 2 * config.kvRows();
    return DoubleStream.of(SHARES)
        .mapToInt(share -> (int) Math.round(share * even))
        .map(size -> Math.min(most, Math.max(least, size)))
        .distinct()
        .toArray();
  }
}
