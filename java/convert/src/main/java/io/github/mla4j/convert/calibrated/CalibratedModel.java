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
import io.github.mla4j.convert.torch.FastestType;
import io.github.mla4j.convert.torch.TorchScope;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;
import java.util.function.IntConsumer;
import java.util.stream.Stream;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.AbstractTensor;
import org.bytedeco.pytorch.Device;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * The source converted by recipe {@code calibrated}. First, {@link #measure}: how the budget is
 * spread over the layers ({@link SensitivityProbe}, {@link BudgetSpread}). Then for every layer:
 * which rotary components stay ({@link ComponentBasis}, {@link ComponentChoice}), the latent
 * ({@link LatentFactor}), the shares of both that leave the least error of the attention's output
 * on a window set aside; and, if wished, {@link Refinement}: of each layer alone, so that the
 * residual stream behind its attention is the source's again, then of a few neighbours together, so
 * that the stream behind them is.
 *
 * <p>The calibration windows pass through the layers beside the conversion, so memory holds the
 * layers that are fitted together (one, of a wide model) and the windows' residual streams. Layers
 * are made in order, each once. Not thread-safe.
 */
public final class CalibratedModel implements LatentModel, AutoCloseable {
  private static final double[] BALANCES = {1.5, 2, 3};
  private static final double[] USUAL_BALANCE = {2};

  /** Layers fitted together: more were no better for the same number of steps. */
  private static final int NEIGHBOURS = 4;

  private static final double ALONE_PACE = 0.0096;
  private static final double TOGETHER_PACE = 0.0033;

  /** Steps of fitting neighbours together, for each step of fitting a layer alone. */
  private static final double TOGETHER_STEPS = 1.5;

  private final ModelSource source;
  private final ModelConfig config;
  private final CalibratedSettings settings;
  private final boolean wide;
  private final List<ComponentBlock> blocks;
  private final int[] elements; // that each layer may cache
  private List<Tensor> streams; // of the source, [T, D] a window
  private List<Tensor> drifted; // of the layers converted so far; the same tensors at first
  private final WindowWorkers workers = new WindowWorkers();
  private final LatentCoordinates coordinates;
  private final ScalarType rough; // of products that need not be exact
  private final Deque<LatentLayer> made = new ArrayDeque<>();
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
    this.wide = settings.wide(config);
    this.blocks = ComponentBlock.of(config);
    this.coordinates = new LatentCoordinates(config, settings.rotation(), workers);
    this.elements = new int[config.blockCount()];
    Arrays.fill(elements, settings.elements(config));
    this.rough = FastestType.of(new Device("cpu"));
    manual_seed(settings.seed());
    streams =
        TorchScope.computeWithoutGradients(
            () -> Stream.of(windows).map(this::embed).map(TorchScope::keep).toList());
    drifted = streams;
  }

  /**
   * Spreads the budget over the layers, where the settings say so; to be called before the first
   * layer is made.
   *
   * @param layerDone told how many layers have been measured
   */
  public void measure(IntConsumer layerDone) {
    List<LayerSensitivity> layers =
        new SensitivityProbe(source, settings, workers, rough).measure(streams, layerDone);
    int[] spread = BudgetSpread.of(layers, settings.totalElements(config));
    System.arraycopy(spread, 0, elements, 0, spread.length);
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
    if (made.isEmpty()) {
      int count = Math.min(fitsTogether() ? NEIGHBOURS : 1, config.blockCount() - index);
      TorchScope.runWithoutGradients(() -> convert(index, count));
      // What is free comes in sizes that the next layers seldom ask for.
      Pointer.trimMemory();
    }
    return made.remove();
  }

  private boolean fitsTogether() {
    return settings.refineSteps() > 0 && !wide;
  }

  /** Neighbouring layers; the streams pass through them. */
  private void convert(int first, int count) {
    List<PlainLayer> layers = new ArrayList<>();
    List<LatentAttention> latents = new ArrayList<>();
    List<Tensor> clean = streams;
    for (int i = 0; i < count; i++) {
      cancelIfInterrupted();
      PlainLayer layer = new PlainLayer(source, first + i, rough);
      List<Tensor> before = clean;
      AttentionInputs inputs = new AttentionInputs(layer, before);
      List<Tensor> between =
          workers.map(before.size(), w -> before.get(w).add(layer.attention(inputs.of(w))));
      int budget = elements[first + i];
      LatentAttention latent = LatentAttention.nested(() -> best(inputs, budget));
      if (settings.refineSteps() == 0) {
        latent = coordinates.change(latent, inputs);
      } else {
        // What earlier layers did wrong is made up for by neighbours together, where there are any.
        List<Tensor> entering = count > 1 ? before : drifted;
        latent = fitAlone(new AttentionInputs(layer, entering), latent, between);
      }
      List<Tensor> after = workers.map(before.size(), w -> layer.feedForward.after(between.get(w)));
      TorchScope.free(between);
      clean = passed(before, streams, after);
      layers.add(layer);
      latents.add(latent);
    }
    if (count > 1) {
      latents = new ArrayList<>(fitTogether(layers, latents, clean));
    }
    if (settings.refineSteps() > 0) {
      List<Tensor> drift = drifted;
      for (int i = 0; i < count; i++) {
        AttentionInputs inputs = new AttentionInputs(layers.get(i), drift);
        latents.set(i, coordinates.change(latents.get(i), inputs));
        drift = passed(drift, drifted, behind(layers.get(i), latents.get(i), drift));
      }
      drifted = replaced(drifted == streams ? List.of() : drifted, drift);
      streams = replaced(streams, clean);
    } else {
      streams = replaced(streams, clean);
      drifted = streams;
    }
    for (int i = 0; i < count; i++) {
      made.add(written(first + i, latents.get(i)));
    }
  }

  /** The streams behind a layer; those before it are freed unless they entered the first one. */
  private static List<Tensor> passed(List<Tensor> before, List<Tensor> first, List<Tensor> behind) {
    if (before != first) {
      TorchScope.free(before);
    }
    return behind;
  }

  /** The streams kept from now on, instead of others. */
  private static List<Tensor> replaced(List<Tensor> old, List<Tensor> by) {
    by.forEach(TorchScope::keep);
    old.forEach(TorchScope::release);
    return by;
  }

  /** The streams behind a converted layer. */
  private List<Tensor> behind(PlainLayer layer, LatentAttention latent, List<Tensor> streams) {
    LatentAttention attention = latent.in(rough);
    return workers.map(streams.size(), w -> behind(layer, attention, streams.get(w)));
  }

  private Tensor behind(PlainLayer layer, LatentAttention latent, Tensor stream) {
    return layer.feedForward.after(
        stream.add(latent.forward(config, layer.attentionInput(stream))));
  }

  private LatentLayer written(int index, LatentAttention latent) {
    List<OutputTensor> tensors = new ArrayList<>(new CalibratedTensors(source, index).of(latent));
    tensors.addAll(SourceTensors.besidesAttention(source, index));
    float[] frequencies = new float[latent.frequencies().length];
    for (int i = 0; i < frequencies.length; i++) {
      frequencies[i] = (float) latent.frequencies()[i];
    }
    int ropeDims = latent.ropeDims();
    return new LatentLayer(
        ropeDims == 0 ? 0 : blocks.size(),
        ropeDims,
        frequencies,
        Math.toIntExact(latent.down().size(0)),
        tensors);
  }

  /** The conversion whose output is nearest to the source's on the last window. */
  private LatentAttention best(AttentionInputs inputs, int budget) {
    // With a single window there is none to set aside.
    int measured = Math.max(1, inputs.count() - 1);
    Tensor x = inputs.last();
    return new MeasuredLayer(config, blocks, workers, settings.seed(), inputs.first(measured))
        .best(
            LayerSizes.candidates(config, settings, budget, blocks.size(), !wide),
            wide ? USUAL_BALANCE : BALANCES,
            x,
            inputs.layer().attention(x));
  }

  /**
   * Fits a layer towards the source's residual stream.
   *
   * @param inputs the source's, or drifted ones
   * @param between the source's streams between attention and MLP
   */
  private LatentAttention fitAlone(
      AttentionInputs inputs, LatentAttention latent, List<Tensor> between) {
    return new Refinement(rough, settings.refineSteps(), ALONE_PACE)
        .refine(
            List.of(latent),
            inputs.count(),
            (attentions, w) -> {
              Tensor weights = tokenWeights(between.get(w));
              Tensor wanted = between.get(w).sub(inputs.streams().get(w)).mul_(weights);
              Tensor added = attentions.get(0).forward(config, inputs.of(w));
              return LayerError.of(added.mul(weights), wanted);
            })
        .get(0);
  }

  /**
   * Fits neighbours so that what enters the first of them, drifted, leaves the last as the source's
   * stream.
   */
  private List<LatentAttention> fitTogether(
      List<PlainLayer> layers, List<LatentAttention> latents, List<Tensor> clean) {
    int steps = (int) Math.round(TOGETHER_STEPS * settings.refineSteps());
    return new Refinement(rough, steps, TOGETHER_PACE)
        .refine(
            latents,
            clean.size(),
            (attentions, w) -> {
              Tensor weights = tokenWeights(clean.get(w));
              Tensor stream = drifted.get(w);
              for (int i = 0; i < layers.size(); i++) {
                stream = behind(layers.get(i), attentions.get(i), stream);
              }
              return LayerError.of(stream.mul(weights), clean.get(w).mul(weights));
            });
  }

  /**
   * One over the root mean square of each token, [T, 1]: what reads a stream norms it first, and
   * the first token's is a hundred times as large as others'.
   */
  private static Tensor tokenWeights(Tensor stream) {
    return stream
        .square()
        .mean(new long[] {1}, true, new ScalarTypeOptional())
        .add_(new Scalar(1e-12))
        .rsqrt_();
  }

  private static void cancelIfInterrupted() {
    if (Thread.interrupted()) {
      throw new CancelledException("the conversion was cancelled");
    }
  }

  @Override
  public void close() {
    workers.close();
    if (drifted != streams) {
      drifted.forEach(TorchScope::release);
    }
    streams.forEach(TorchScope::release);
    streams = List.of();
    drifted = streams;
  }
}
