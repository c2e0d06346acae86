package io.github.mla4j.convert.calibrated;

import static org.bytedeco.pytorch.global.torch.manual_seed;

import io.github.mla4j.CancelledException;
import io.github.mla4j.convert.recipe.LatentLayer;
import io.github.mla4j.convert.recipe.LatentModel;
import io.github.mla4j.convert.recipe.OutputTensor;
import io.github.mla4j.convert.recipe.SourceTensors;
import io.github.mla4j.convert.source.DecoderTensors;
import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.source.ModelSource;
import io.github.mla4j.convert.source.WeightTensor;
import io.github.mla4j.convert.torch.TorchScope;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.AbstractTensor;
import org.bytedeco.pytorch.Tensor;

/**
 * The source converted by recipe {@code calibrated}. For every layer: which rotary components stay
 * ({@link ComponentBasis}, {@link ComponentChoice}), the latent ({@link LatentFactor}), the shares
 * of both that leave the least error of the attention's output on a window set aside, and, if
 * wished, {@link Refinement}. The calibration windows pass through the layers beside the
 * conversion, so memory holds one layer and the windows' residual streams. Layers are made in
 * order, each once. Not thread-safe.
 */
public final class CalibratedModel implements LatentModel, AutoCloseable {
  private static final double[] BALANCES = {1.5, 2, 3};

  /**
   * Above this width one decomposition takes tens of seconds: the usual share and balance are
   * taken.
   */
  private static final int WIDE = 2048;

  private static final double[] USUAL_BALANCE = {2};

  private final ModelSource source;
  private final ModelConfig config;
  private final CalibratedSettings settings;
  private final List<ComponentBlock> blocks;
  private final List<Tensor> streams = new ArrayList<>(); // of the source, [T, D] a window
  private final List<Tensor> drifted = new ArrayList<>(); // of the layers converted so far
  private final WindowWorkers workers = new WindowWorkers();
  private int next;

  /**
   * @param windows token ids; the last window is the one that choices are measured on
   * @throws IllegalArgumentException if the settings do not fit the model, or no window has text
   */
  public CalibratedModel(ModelSource source, CalibratedSettings settings, int[][] windows) {
    this.source = source;
    this.config = source.config();
    this.settings = settings;
    settings.check(config);
    this.blocks = ComponentBlock.of(config);
    manual_seed(settings.seed());
    TorchScope.runWithoutGradients(
        () -> {
          for (int[] window : windows) {
            Tensor stream = embed(window);
            streams.add(TorchScope.keep(stream));
            if (settings.refineSteps() > 0) {
              drifted.add(TorchScope.keep(stream.clone()));
            }
          }
        });
  }

  private Tensor embed(int[] tokens) {
    WeightTensor embedding = source.tensor(DecoderTensors.EMBEDDING);
    float[] rows = new float[tokens.length * config.embeddingLength()];
    for (int t = 0; t < tokens.length; t++) {
      embedding.read(tokens[t], 1, rows, t * config.embeddingLength());
    }
    return AbstractTensor.create(rows, tokens.length, config.embeddingLength());
  }

  @Override
  public ModelConfig config() {
    return config;
  }

  @Override
  public boolean normsAfterRotation() {
    return false;
  }

  @Override
  public List<OutputTensor> sharedTensors() {
    return SourceTensors.shared(source);
  }

  @Override
  public LatentLayer layer(int index) {
    if (index != next++) {
      throw new IllegalStateException("layer " + index + " out of order");
    }
    return TorchScope.computeWithoutGradients(() -> convert(index));
  }

  private LatentLayer convert(int index) {
    PlainLayer layer = new PlainLayer(source, index);
    List<Tensor> inputs = workers.map(streams.size(), w -> layer.attentionInput(streams.get(w)));
    List<Tensor> outputs = workers.map(streams.size(), w -> layer.attention(inputs.get(w)));
    LatentAttention latent = best(layer, inputs, outputs);
    if (settings.refineSteps() > 0) {
      latent = refined(layer, latent, outputs);
    }
    advance(streams, layer, outputs);
    List<OutputTensor> tensors = new ArrayList<>(new CalibratedTensors(source, index).of(latent));
    tensors.addAll(SourceTensors.besidesAttention(source, index));
    float[] frequencies = new float[latent.frequencies().length];
    for (int i = 0; i < frequencies.length; i++) {
      frequencies[i] = (float) latent.frequencies()[i];
    }
    int ropeDims = latent.ropeDims(config);
    return new LatentLayer(
        ropeDims == 0 ? 0 : blocks.size(),
        ropeDims,
        frequencies,
        Math.toIntExact(latent.down().size(0)),
        tensors);
  }

  /** The conversion whose output is nearest to the source's on the last window. */
  private LatentAttention best(PlainLayer layer, List<Tensor> inputs, List<Tensor> outputs) {
    // With a single window there is none to set aside.
    int measured = Math.max(1, inputs.size() - 1);
    List<ComponentBasis> bases =
        ComponentBasis.of(blocks, workers, measured, w -> layer.keys(inputs.get(w)));
    AttentionStatistics statistics = measure(layer, bases, inputs.subList(0, measured));
    List<ComponentChoice> choices = new ArrayList<>();
    for (int b = 0; b < blocks.size(); b++) {
      double[] covariance = new double[9 * blocks.get(b).components() * blocks.get(b).components()];
      statistics.components(b).contiguous().data_ptr_double().get(covariance);
      choices.add(new ComponentChoice(covariance, blocks.get(b).components()));
    }
    Tensor x = inputs.get(inputs.size() - 1);
    Tensor wanted = outputs.get(outputs.size() - 1);
    LatentAttention best = null;
    double least = Double.POSITIVE_INFINITY;
    boolean wide = config.embeddingLength() > WIDE;
    for (LayerSizes sizes : LayerSizes.candidates(config, settings, blocks.size(), wide)) {
      RotaryPart rotary =
          RotaryPart.split(config, layer, blocks, bases, choices, sizes.ropePairs());
      LatentFactor factor =
          new LatentFactor(config, layer, statistics, rotary.otherKeys(), workers);
      for (double balance : wide ? USUAL_BALANCE : BALANCES) {
        cancelIfInterrupted();
        LatentAttention candidate =
            LatentAttention.of(config, layer, rotary, factor.factor(sizes.rank(), balance));
        double error =
            TorchScope.computeWithoutGradients(
                () -> LayerError.of(candidate.forward(config, x), wanted).item_double());
        if (best == null || error < least) {
          best = candidate;
          least = error;
        }
      }
    }
    return best;
  }

  /** Sums in the order of the windows, however many are measured at a time. */
  private AttentionStatistics measure(
      PlainLayer layer, List<ComponentBasis> bases, List<Tensor> inputs) {
    AttentionStatistics all = statistics(layer, bases, 0);
    for (int first = 0; first < inputs.size(); first += workers.count()) {
      int start = first;
      int count = Math.min(workers.count(), inputs.size() - start);
      AttentionStatistics[] parts = new AttentionStatistics[count];
      TorchScope.runWithoutGradients(
          () -> {
            List<List<Tensor>> sums =
                workers.mapAll(
                    count,
                    i -> {
                      parts[i] = statistics(layer, bases, start + i);
                      parts[i].add(inputs.get(start + i));
                      return parts[i].sums();
                    });
            for (int i = 0; i < count; i++) {
              all.merge(sums.get(i), 1, parts[i].componentSamples());
            }
          });
    }
    return all;
  }

  private AttentionStatistics statistics(PlainLayer layer, List<ComponentBasis> bases, int window) {
    return new AttentionStatistics(config, layer, blocks, bases, settings.seed() + window);
  }

  /** Fits the layer to inputs that have drifted, towards a residual stream that has not. */
  private LatentAttention refined(PlainLayer layer, LatentAttention latent, List<Tensor> outputs) {
    List<Tensor> inputs = new ArrayList<>();
    List<Tensor> wanted = new ArrayList<>();
    for (int w = 0; w < drifted.size(); w++) {
      Tensor stream = drifted.get(w);
      Tensor clean = streams.get(w);
      Tensor output = outputs.get(w);
      inputs.add(TorchScope.nested(() -> layer.attentionInput(stream)));
      wanted.add(TorchScope.nested(() -> clean.add(output).sub_(stream)));
    }
    cancelIfInterrupted();
    LatentAttention refined =
        new Refinement(config, settings.refineSteps()).refine(latent, inputs, wanted);
    List<Tensor> changes = workers.map(inputs.size(), w -> refined.forward(config, inputs.get(w)));
    advance(drifted, layer, changes);
    return refined;
  }

  private void advance(List<Tensor> streams, PlainLayer layer, List<Tensor> changes) {
    List<Tensor> after =
        workers.map(
            streams.size(), w -> layer.afterFeedForward(streams.get(w).add(changes.get(w))));
    for (int w = 0; w < streams.size(); w++) {
      TorchScope.release(streams.get(w));
      streams.set(w, TorchScope.keep(after.get(w)));
    }
  }

  private static void cancelIfInterrupted() {
    if (Thread.interrupted()) {
      throw new CancelledException("the conversion was cancelled");
    }
  }

  @Override
  public void close() {
    workers.close();
    streams.forEach(TorchScope::release);
    drifted.forEach(TorchScope::release);
    streams.clear();
    drifted.clear();
  }
}
