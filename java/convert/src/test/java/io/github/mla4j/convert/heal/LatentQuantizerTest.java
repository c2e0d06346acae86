package io.github.mla4j.convert.heal;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.github.mla4j.CacheType;
import io.github.mla4j.convert.torch.TensorValues;
import io.github.mla4j.convert.torch.Tensors;
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

  /** Levels in steps of a scale from a minimum on. */
  private record Grid(float scale, float minimum, int least, int most) {
    double level(float x) {
      double q = scale == 0 ? 0 : (x - minimum) / scale;
      return Math.rint(Math.min(most, Math.max(least, q)));
    }

    float round(float x) {
      return (float) (level(x) * scale + minimum);
    }
  }

  private static void roundGroup(CacheType type, float[] all, int begin, int end) {
    float[] x = Arrays.copyOfRange(all, begin, end);
    Grid grid = type == CacheType.INT8 ? int8(x) : fitted(type, x);
    for (int i = begin; i < end; i++) {
      all[i] = grid.round(all[i]);
    }
  }

  private static Grid int8(float[] x) {
    float most = 0;
    for (float each : x) {
      most = Math.max(most, Math.abs(each));
    }
    return new Grid(half(most / 127), 0, -127, 127);
  }

  /** Of a few plain grids the one whose levels, with the best line through them, lie nearest. */
  private static Grid fitted(CacheType type, float[] x) {
    float low = x[0];
    float high = x[0];
    for (float each : x) {
      low = Math.min(low, each);
      high = Math.max(high, each);
    }
    boolean four = type == CacheType.INT4;
    int most = four ? 15 : 3;
    double[] tried =
        four ? new double[] {1, 0.95, 0.9, 0.85} : new double[] {1, 0.88, 0.77, 0.67, 0.58};
    Grid best = new Grid(half((high - low) / most), half(low), 0, most);
    double least = Double.POSITIVE_INFINITY;
    for (double each : tried) {
      Grid plain =
          new Grid(
              (float) (each * (high - low) / most),
              (float) ((high + low) / 2 - each * (high - low) / 2),
              0,
              most);
      double[] line = line(plain, x);
      double error = 0;
      for (float value : x) {
        error += Math.pow(line[0] * plain.level(value) + line[1] - value, 2);
      }
      if (!Double.isNaN(error) && error < least * (1 - 1e-6)) {
        least = error;
        best = new Grid(half((float) line[0]), half((float) line[1]), 0, most);
      }
    }
    return best;
  }

  /** Slope and offset that bring a grid's levels nearest to the values. */
  private static double[] line(Grid grid, float[] x) {
    double meanLevel = 0;
    double mean = 0;
    for (float each : x) {
      meanLevel += grid.level(each) / x.length;
      mean += each / x.length;
    }
    double along = 0;
    double size = 0;
    for (float each : x) {
      along += (grid.level(each) - meanLevel) * (each - mean);
      size += Math.pow(grid.level(each) - meanLevel, 2);
    }
    return new double[] {along / size, mean - along / size * meanLevel};
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
