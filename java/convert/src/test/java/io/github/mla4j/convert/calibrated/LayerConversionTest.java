package io.github.mla4j.convert.calibrated;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.mla4j.convert.LatentRotation;
import io.github.mla4j.convert.source.Fixtures;
import io.github.mla4j.convert.source.HuggingFaceSource;
import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.torch.TorchScope;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.bytedeco.pytorch.AbstractTensor;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** One layer's attention, converted and fitted, against the source's. */
final class LayerConversionTest {
  private static final int T = 48;
  // Neither the first nor the last is the best of all.
  private static final List<LayerSizes> SIZES =
      List.of(new LayerSizes(1, 12), new LayerSizes(6, 30), new LayerSizes(2, 20));
  private static final double[] BALANCES = {20, 2, 0.05};

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
  @ValueSource(strings = {"llama-gqa", "qwen3-qknorm"})
  void theBestOfSeveralConversionsIsTheOneOfTheLeastError(String model) throws IOException {
    try (HuggingFaceSource source = HuggingFaceSource.open(Fixtures.source(model))) {
      TorchScope.runWithoutGradients(
          () -> {
            Layer layer = new Layer(source);
            double[][] errors = new double[SIZES.size()][BALANCES.length];
            for (int s = 0; s < SIZES.size(); s++) {
              for (int b = 0; b < BALANCES.length; b++) {
                LayerSizes sizes = SIZES.get(s);
                errors[s][b] =
                    layer.error(
                        layer.measured().keeping(sizes.ropePairs()).of(sizes.rank(), BALANCES[b]),
                        0);
              }
            }
            for (int s = 0; s < SIZES.size(); s++) {
              for (int b = 0; b < BALANCES.length; b++) {
                List<LayerSizes> sizes = SIZES.subList(0, s + 1);
                double[] balances = Arrays.copyOf(BALANCES, b + 1);
                double least =
                    Arrays.stream(errors, 0, s + 1)
                        .flatMapToDouble(each -> Arrays.stream(each, 0, balances.length))
                        .min()
                        .getAsDouble();
                LatentAttention best =
                    layer.measured().best(sizes, balances, layer.inputs.of(0), layer.wanted.get(0));
                assertEquals(least, layer.error(best, 0), 1e-6 * least);
              }
            }
          });
    }
  }

  @ParameterizedTest
  @CsvSource({
    "llama-gqa, Float",
    "llama-gqa, BFloat16",
    "llama-mha, Float",
    "qwen2-bias, Float",
    "qwen2-bias, BFloat16",
    "qwen3-qknorm, Float",
    "qwen3-qknorm, BFloat16"
  })
  void fittingLessensTheError(String model, ScalarType type) throws IOException {
    try (HuggingFaceSource source = HuggingFaceSource.open(Fixtures.source(model))) {
      TorchScope.runWithoutGradients(
          () -> {
            Layer layer = new Layer(source);
            LatentAttention start = layer.converted(8, source.config().kvRows() / 2);
            LatentAttention fitted = layer.fitted(start, type, 60);
            for (int w = 0; w < layer.inputs.count(); w++) {
              double before = layer.error(start, w);
              double after = layer.error(fitted, w);
              assertTrue(after < 0.8 * before, after + " after " + before);
            }
          });
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"llama-gqa", "qwen3-qknorm"})
  void fittingLeavesWhatIsRight(String model) throws IOException {
    try (HuggingFaceSource source = HuggingFaceSource.open(Fixtures.source(model))) {
      TorchScope.runWithoutGradients(
          () -> {
            Layer layer = new Layer(source);
            int rank = Math.min(source.config().kvRows(), source.config().embeddingLength());
            LatentAttention start = layer.converted(source.config().kvRows() / 2, rank);
            double error = layer.error(layer.fitted(start, ScalarType.Float, 20), 0);
            assertTrue(error < 1e-9, "error " + error);
          });
    }
  }

  /** Bfloat16 keeps 8 bits: outputs and gradients differ by less than a percent of their size. */
  @ParameterizedTest
  @ValueSource(strings = {"llama-gqa", "qwen2-bias", "qwen3-qknorm"})
  void anotherTypeComputesTheSameRoughly(String model) throws IOException {
    try (HuggingFaceSource source = HuggingFaceSource.open(Fixtures.source(model))) {
      TorchScope.run(
          () -> {
            Layer layer = new Layer(source);
            LatentAttention exact = layer.converted(8, source.config().kvRows() / 2);
            List<Tensor> parameters = List.of(exact.query(), exact.down(), exact.rotaryKey());
            parameters.forEach(parameter -> parameter.requires_grad_(true));
            LatentAttention rough = exact.in(ScalarType.BFloat16);
            Tensor x = layer.inputs.of(0);
            Tensor expected = exact.forward(source.config(), x);
            Tensor actual = rough.forward(source.config(), x);
            assertEquals(ScalarType.BFloat16, actual.scalar_type().intern());
            assertTrue(difference(actual, expected) < 1e-4);
            assertTrue(difference(actual, expected) > 0);
            for (Tensor parameter : parameters) {
              Tensor wanted = gradient(expected, parameter);
              Tensor got = gradient(actual, parameter);
              assertEquals(ScalarType.Float, got.scalar_type().intern());
              assertTrue(difference(got, wanted) < 1e-3);
            }
          });
    }
  }

  private static double difference(Tensor actual, Tensor expected) {
    return LayerError.of(actual.to(ScalarType.Float), expected).item_double();
  }

  private static Tensor gradient(Tensor output, Tensor parameter) {
    return torch
        .grad(
            new TensorVector(output.to(ScalarType.Float).square().sum()),
            new TensorVector(parameter),
            new TensorVector(),
            new BoolOptional(true),
            false,
            false)
        .get(0);
  }

  @ParameterizedTest
  @ValueSource(strings = {"llama-gqa", "llama-mha", "qwen2-bias", "qwen3-qknorm"})
  void otherCoordinatesChangeNothingButWhatRoundingCosts(String model) throws IOException {
    try (HuggingFaceSource source = HuggingFaceSource.open(Fixtures.source(model))) {
      TorchScope.runWithoutGradients(
          () -> {
            Layer layer = new Layer(source);
            LatentAttention plain = layer.converted(8, 40);
            // What makes the latent costly to round: a mean, and elements of unlike sizes.
            LatentAttention start = layer.stretched(plain);
            double least = Double.POSITIVE_INFINITY;
            for (LatentRotation rotation : LatentRotation.values()) {
              LatentAttention changed =
                  new LatentCoordinates(source.config(), rotation, workers)
                      .change(start, layer.inputs);
              assertEquals(40, changed.down().size(0));
              double difference =
                  LayerError.of(
                          changed.forward(source.config(), layer.inputs.of(0)),
                          plain.forward(source.config(), layer.inputs.of(0)))
                      .item_double();
              assertTrue(difference < 1e-8, rotation + " differs by " + difference);
              double rounded = layer.errorOfRounding(changed);
              if (rotation == LatentRotation.NONE) {
                least = rounded;
              } else {
                assertTrue(rounded < 0.7 * least, rotation + ": " + rounded + ", was " + least);
              }
            }
          });
    }
  }

  @Test
  void evenRotationsAreOrthogonalAndFlat() {
    TorchScope.runWithoutGradients(
        () -> {
          for (int n : new int[] {1, 2, 3, 8, 24, 31, 32}) {
            Tensor rotation = EvenRotation.of(n);
            Tensor product = rotation.mm(rotation.t());
            Tensor identity = torch.eye(n, new TensorOptions(torch.ScalarType.Double));
            assertTrue(product.sub(identity).abs().max().item_double() < 1e-12);
            assertTrue(rotation.abs().max().item_double() <= Math.sqrt(2.0 / n) + 1e-12);
          }
        });
  }

  /** The second layer of a model, and random windows. */
  private final class Layer {
    final ModelConfig config;
    final PlainLayer plain;
    final AttentionInputs inputs;
    final List<Tensor> wanted;

    Layer(HuggingFaceSource source) {
      config = source.config();
      plain = new PlainLayer(source, 1, ScalarType.Float);
      Random random = new Random(11);
      inputs = new AttentionInputs(plain, List.of(window(random), window(random)));
      wanted = List.of(plain.attention(inputs.of(0)), plain.attention(inputs.of(1)));
    }

    private Tensor window(Random random) {
      float[] values = new float[T * config.embeddingLength()];
      for (int i = 0; i < values.length; i++) {
        values[i] = (float) random.nextGaussian();
      }
      return AbstractTensor.create(values, T, config.embeddingLength());
    }

    LatentAttention converted(int ropePairs, int rank) {
      return measured().keeping(ropePairs).of(rank, 2);
    }

    LatentAttention fitted(LatentAttention start, ScalarType type, int steps) {
      return new Refinement(type, steps, 0.01)
          .refine(
              List.of(start),
              inputs.count(),
              (attentions, w) ->
                  LayerError.of(attentions.get(0).forward(config, inputs.of(w)), wanted.get(w)))
          .get(0);
    }

    MeasuredLayer measured() {
      return new MeasuredLayer(config, ComponentBlock.of(config), workers, 1, inputs);
    }

    /** The same function of the input, by a latent of other elements. */
    LatentAttention stretched(LatentAttention latent) {
      long length = latent.down().size(0);
      float[] factors = new float[(int) length];
      for (int i = 0; i < factors.length; i++) {
        factors[i] = (float) Math.exp(2 * Math.sin(i));
      }
      Tensor by = AbstractTensor.create(factors, length);
      Tensor mean = by.mul(new Scalar(3));
      Tensor valueUp = latent.valueUp().div(by);
      return latent.withLatent(
          latent.down().mul(by.unsqueeze(1)),
          mean,
          latent.keyUp().div(by),
          valueUp,
          latent.outputBias().sub(latent.output().mv(ofEachHead(valueUp.matmul(mean)))));
    }

    private Tensor ofEachHead(Tensor values) {
      return values
          .view(config.kvHeadCount(), 1, config.headLength())
          .expand(config.kvHeadCount(), config.groupSize(), config.headLength())
          .reshape(-1);
    }

    /** Of the attention's output, when every latent is rounded to 15 levels a group of 32. */
    double errorOfRounding(LatentAttention latent) {
      Tensor c = latent.observe(config, inputs.of(0)).latent();
      Tensor error = torch.zeros_like(c);
      for (long begin = 0; begin < c.size(1); begin += 32) {
        long n = Math.min(32, c.size(1) - begin);
        Tensor part = c.narrow(1, begin, n);
        Tensor step = part.abs().amax(new long[] {1}, true).div_(new Scalar(7));
        error.narrow(1, begin, n).copy_(part.div(step).round_().mul_(step).sub_(part));
      }
      // What it does to the values, through the output; the keys' share is like it.
      Tensor values = error.matmul(latent.valueUp().transpose(1, 2)); // [kvHeads, T, d]
      Tensor heads =
          values
              .unsqueeze(1)
              .expand(config.kvHeadCount(), config.groupSize(), c.size(0), config.headLength())
              .reshape(config.headCount(), c.size(0), config.headLength());
      Tensor out = heads.transpose(0, 1).reshape(c.size(0), -1).mm(latent.output().t());
      return out.square().mean().item_double();
    }

    double error(LatentAttention latent, int window) {
      return LayerError.of(latent.forward(config, inputs.of(window)), wanted.get(window))
          .item_double();
    }
  }
}
