package io.github.mla4j.convert.heal;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.github.mla4j.CacheType;
import io.github.mla4j.convert.torch.TensorValues;
import io.github.mla4j.convert.torch.TorchScope;
import java.util.Arrays;
import java.util.Random;
import org.bytedeco.pytorch.AbstractTensor;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Against plain loops. */
class LatentQuantizerTest {
  private static final int SINK = 4;
  private static final int GROUP = 32;

  @ParameterizedTest
  @CsvSource({
    "INT8, 9, 88",
    "INT4, 9, 88",
    "INT2, 9, 88",
    "INT4, 3, 40",
    "INT2, 6, 5",
    "INT8, 5, 64"
  })
  void roundsAsTheCacheDoes(CacheType type, int tokens, int width) {
    Random random = new Random(type.ordinal());
    float[] values = new float[2 * tokens * width];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) (random.nextGaussian() * Math.exp(random.nextGaussian()));
    }
    // A group of zeros, and one of a single value.
    Arrays.fill(values, (tokens - 1) * width, (tokens - 1) * width + Math.min(width, GROUP), 0);
    Arrays.fill(values, values.length - Math.min(width, GROUP), values.length, 0.7f);
    float[] expected = values.clone();
    for (int row = 0; row < 2 * tokens; row++) {
      if (row % tokens >= SINK) {
        for (int begin = 0; begin < width; begin += GROUP) {
          int end = Math.min(width, begin + GROUP);
          roundGroup(type, expected, row * width + begin, row * width + end);
        }
      }
    }
    TorchScope.runWithoutGradients(
        () -> {
          Tensor latent = AbstractTensor.create(values, 2, tokens, width);
          Tensor rounded = LatentQuantizer.of(type).apply(latent);
          float[] found = TensorValues.floats(rounded);
          for (int i = 0; i < found.length; i++) {
            assertEquals(expected[i], found[i], 1e-5 * (1 + Math.abs(expected[i])), "element " + i);
          }
          assertArrayEquals(values, TensorValues.floats(latent));
        });
  }

  private static void roundGroup(CacheType type, float[] x, int begin, int end) {
    float least = Float.POSITIVE_INFINITY;
    float most = Float.NEGATIVE_INFINITY;
    for (int i = begin; i < end; i++) {
      least = Math.min(least, x[i]);
      most = Math.max(most, x[i]);
    }
    int levels = type == CacheType.INT8 ? 127 : 7;
    float minimum = type == CacheType.INT2 ? half(least) : 0;
    float scale =
        half(
            type == CacheType.INT2
                ? (most - least) / 3
                : Math.max(Math.abs(least), Math.abs(most)) / levels);
    for (int i = begin; i < end; i++) {
      double q = scale == 0 ? 0 : Math.rint((x[i] - minimum) / scale);
      q =
          type == CacheType.INT2
              ? Math.min(3, Math.max(0, q))
              : Math.min(levels, Math.max(-levels, q));
      x[i] = (float) (q * scale + minimum);
    }
  }

  private static float half(float x) {
    return TorchScope.computeWithoutGradients(
        () ->
            AbstractTensor.create(new float[] {x}, 1)
                .to(torch.ScalarType.Half)
                .to(torch.ScalarType.Float)
                .item_float());
  }

  @Test
  void theGradientPassesAsIfNothingWasRounded() {
    TorchScope.run(
        () -> {
          Tensor latent = torch.randn(1, 8, 40).requires_grad_(true);
          Tensor factor = torch.randn(1, 8, 40);
          Tensor loss = LatentQuantizer.INT2.apply(latent).mul(factor).sum();
          TensorVector gradients = torch.grad(new TensorVector(loss), new TensorVector(latent));
          Tensors.assertClose(factor, gradients.get(0), 0);
        });
  }

  @Test
  void exactCachesRoundNothing() {
    assertEquals(LatentQuantizer.NONE, LatentQuantizer.of(CacheType.F16));
    assertEquals(LatentQuantizer.NONE, LatentQuantizer.of(CacheType.F32));
  }
}
