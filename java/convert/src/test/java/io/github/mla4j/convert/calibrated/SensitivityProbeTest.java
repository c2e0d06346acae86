package io.github.mla4j.convert.calibrated;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.mla4j.convert.LatentRotation;
import io.github.mla4j.convert.source.DecoderTensors;
import io.github.mla4j.convert.source.Fixtures;
import io.github.mla4j.convert.source.HuggingFaceSource;
import io.github.mla4j.convert.source.WeightTensor;
import io.github.mla4j.convert.torch.TorchScope;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;
import java.util.Random;
import org.bytedeco.pytorch.AbstractTensor;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The cost of converting single layers, measured in one pass, against converting each by itself.
 */
class SensitivityProbeTest {
  private static final int T = 40;

  private final WindowWorkers workers = new WindowWorkers();

  @AfterEach
  void stop() {
    workers.close();
  }

  @ParameterizedTest
  @ValueSource(strings = {"llama-gqa", "qwen2-bias", "qwen3-qknorm"})
  void onePassTellsWhatOneConversionALayerWould(String model) throws IOException {
    CalibratedSettings settings =
        new CalibratedSettings(
            0.7, OptionalInt.empty(), OptionalInt.empty(), true, 0, LatentRotation.NONE, 1);
    try (HuggingFaceSource source = HuggingFaceSource.open(Fixtures.source(model))) {
      TorchScope.runWithoutGradients(
          () -> {
            List<Tensor> streams = streams(source);
            List<Integer> told = new ArrayList<>();
            List<LayerSensitivity> measured =
                new SensitivityProbe(source, settings, workers, ScalarType.Float)
                    .measure(streams, told::add);
            assertEquals(List.of(1, 2), told);
            int even = settings.elements(source.config());
            for (int l = 0; l < measured.size(); l++) {
              double expected = alone(source, settings, streams, l);
              assertTrue(expected > 1e-6, "divergence " + expected);
              assertEquals(expected, measured.get(l).divergence(even), 1e-3 * expected);
              assertTrue(measured.get(l).least() < even && measured.get(l).greatest() > even);
              assertTrue(measured.get(l).divergence(measured.get(l).greatest()) < expected);
            }
          });
    }
  }

  private List<Tensor> streams(HuggingFaceSource source) {
    Random random = new Random(2);
    WeightTensor embedding = source.tensor(DecoderTensors.EMBEDDING);
    int width = source.config().embeddingLength();
    List<Tensor> streams = new ArrayList<>();
    for (int w = 0; w < 3; w++) {
      float[] rows = new float[T * width];
      for (int t = 0; t < T; t++) {
        embedding.read(random.nextInt(256), 1, rows, t * width);
      }
      streams.add(AbstractTensor.create(rows, T, width));
    }
    return streams;
  }

  /** A model with one converted layer, from its embeddings to its distributions. */
  private double alone(
      HuggingFaceSource source, CalibratedSettings settings, List<Tensor> embedded, int converted) {
    List<Tensor> streams = embedded;
    Tensor other = embedded.get(2);
    for (int l = 0; l < source.config().blockCount(); l++) {
      PlainLayer layer = new PlainLayer(source, l, ScalarType.Float);
      AttentionInputs inputs = new AttentionInputs(layer, streams);
      Tensor x = layer.attentionInput(other);
      Tensor change = layer.attention(x);
      if (l == converted) {
        List<ComponentBlock> blocks = ComponentBlock.of(source.config());
        LayerSizes size =
            LayerSizes.candidates(
                    source.config(),
                    settings,
                    settings.elements(source.config()),
                    blocks.size(),
                    false)
                .get(0);
        change =
            new MeasuredLayer(source.config(), blocks, workers, settings.seed(), inputs.first(2))
                .keeping(size.ropePairs())
                .of(size.rank(), 2)
                .forward(source.config(), x);
      }
      other = layer.feedForward.after(other.add(change));
      streams =
          streams.stream()
              .map(h -> layer.feedForward.after(h.add(layer.attention(layer.attentionInput(h)))))
              .toList();
    }
    return new NextTokens(source, workers).divergences(streams.get(2), List.of(other))[0];
  }
}
