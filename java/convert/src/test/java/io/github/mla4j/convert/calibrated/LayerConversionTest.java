package io.github.mla4j.convert.calibrated;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.mla4j.convert.source.Fixtures;
import io.github.mla4j.convert.source.HuggingFaceSource;
import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.torch.TorchScope;
import java.io.IOException;
import java.util.List;
import java.util.Random;
import org.bytedeco.pytorch.AbstractTensor;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** One layer's attention, converted and fitted, against the source's. */
final class LayerConversionTest {
  private static final int T = 48;

  private final WindowWorkers workers = new WindowWorkers();

  @AfterEach
  void stop() {
    workers.close();
  }

  @ParameterizedTest
  @ValueSource(strings = {"llama-gqa", "llama-mha", "qwen2-bias", "qwen3-qknorm"})
  void nothingIsLostWithEveryRotationAndTheValuesKept(String model) throws IOException {
    try (HuggingFaceSource source = HuggingFaceSource.open(Fixtures.source(model))) {
      TorchScope.runWithoutGradients(
          () -> {
            Layer layer = new Layer(source);
            int kept = source.config().kvRows() / 2;
            int rank = Math.min(source.config().kvRows(), source.config().embeddingLength());
            double error = layer.error(layer.converted(kept, rank), 0);
            assertTrue(error < 1e-9, "error " + error);
          });
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"llama-gqa", "llama-mha", "qwen2-bias", "qwen3-qknorm"})
  void fittingLessensTheError(String model) throws IOException {
    try (HuggingFaceSource source = HuggingFaceSource.open(Fixtures.source(model))) {
      TorchScope.runWithoutGradients(
          () -> {
            Layer layer = new Layer(source);
            LatentAttention start = layer.converted(8, source.config().kvRows() / 2);
            LatentAttention fitted =
                new Refinement(60, 5e-3)
                    .refine(
                        List.of(start),
                        layer.inputs.size(),
                        (attentions, w) ->
                            LayerError.of(
                                attentions.get(0).forward(source.config(), layer.inputs.get(w)),
                                layer.wanted.get(w)))
                    .get(0);
            for (int w = 0; w < layer.inputs.size(); w++) {
              double before = layer.error(start, w);
              double after = layer.error(fitted, w);
              assertTrue(after < 0.8 * before, after + " after " + before);
            }
          });
    }
  }

  /** The second layer of a model, and random windows. */
  private final class Layer {
    final ModelConfig config;
    final PlainLayer plain;
    final List<Tensor> inputs;
    final List<Tensor> wanted;

    Layer(HuggingFaceSource source) {
      config = source.config();
      plain = new PlainLayer(source, 1);
      Random random = new Random(11);
      inputs = List.of(window(random), window(random));
      wanted = inputs.stream().map(plain::attention).toList();
    }

    private Tensor window(Random random) {
      float[] values = new float[T * config.embeddingLength()];
      for (int i = 0; i < values.length; i++) {
        values[i] = (float) random.nextGaussian();
      }
      return AbstractTensor.create(values, T, config.embeddingLength());
    }

    LatentAttention converted(int ropePairs, int rank) {
      return new MeasuredLayer(config, plain, ComponentBlock.of(config), workers, 1, inputs)
          .keeping(ropePairs)
          .of(rank, 2);
    }

    double error(LatentAttention latent, int window) {
      return LayerError.of(latent.forward(config, inputs.get(window)), wanted.get(window))
          .item_double();
    }
  }
}
