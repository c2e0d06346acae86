package io.github.mla4j.convert.calibrated;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.github.mla4j.convert.source.Fixtures;
import io.github.mla4j.convert.source.HuggingFaceSource;
import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.source.ModelFamily;
import io.github.mla4j.convert.torch.TensorValues;
import io.github.mla4j.convert.torch.TorchScope;
import java.io.IOException;
import java.util.List;
import java.util.Random;
import org.bytedeco.pytorch.AbstractTensor;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Covariances against sums written out. A basis only turns what heads share, so a frequency's
 * components add up to that frequency's part of the plain score: no basis enters the answers.
 */
final class AttentionStatisticsTest {
  // So short that every position of the second half is sampled.
  private static final int T = 8;

  @ParameterizedTest
  @ValueSource(strings = {"llama-gqa", "llama-mha", "qwen2-bias", "qwen3-qknorm"})
  void componentsOfAFrequencyAddUpToItsPartOfTheScore(String model) throws IOException {
    try (HuggingFaceSource source = HuggingFaceSource.open(Fixtures.source(model))) {
      TorchScope.runWithoutGradients(() -> check(source));
    }
  }

  private static void check(HuggingFaceSource source) {
    ModelConfig config = source.config();
    PlainLayer layer = new PlainLayer(source, 1, ScalarType.Float);
    Tensor x = input(config.embeddingLength());
    List<ComponentBlock> blocks = ComponentBlock.of(config);
    assertEquals(1, blocks.size());
    List<ComponentBasis> bases;
    try (WindowWorkers workers = new WindowWorkers()) {
      bases = ComponentBasis.of(blocks, workers, 1, w -> layer.keys(x));
    }
    AttentionStatistics statistics = new AttentionStatistics(config, layer, blocks, bases, 1);
    statistics.add(x, 3);

    Sums expected = new Sums(config, layer, x);
    int pairs = config.headLength() / 2;
    int count = blocks.get(0).components();
    double[] m = new double[9 * count * count];
    statistics.components(0).contiguous().data_ptr_double().get(m);
    for (int kind = 0; kind < 2; kind++) {
      for (int f = 0; f < pairs; f++) {
        for (int g = 0; g < pairs; g++) {
          double sum = 0;
          for (int a = f; a < count; a += pairs) {
            for (int b = g; b < count; b += pairs) {
              sum += m[(kind * count + a) * 3 * count + kind * count + b];
            }
          }
          double scale = Math.sqrt(expected.scores[kind][f][f] * expected.scores[kind][g][g]);
          assertEquals(
              expected.scores[kind][f][g],
              sum,
              1e-4 * scale + 1e-9,
              (kind == 0 ? "rotated" : "plain") + " pairs " + f + ", " + g);
        }
      }
    }
    assertClose(expected.inputs, statistics.inputs());
    assertClose(expected.attended, statistics.attendedInputs());
  }

  private static void assertClose(double[][] expected, Tensor actual) {
    double[] values = new double[expected.length * expected.length];
    actual.contiguous().data_ptr_double().get(values);
    double trace = 0;
    for (int i = 0; i < expected.length; i++) {
      trace += expected[i][i];
    }
    for (int i = 0; i < expected.length; i++) {
      for (int j = 0; j < expected.length; j++) {
        assertEquals(expected[i][j], values[i * expected.length + j], 1e-5 * trace, i + ", " + j);
      }
    }
  }

  private static Tensor input(int width) {
    Random random = new Random(5);
    float[] values = new float[T * width];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) random.nextGaussian();
    }
    return AbstractTensor.create(values, T, width);
  }

  /** Everything by loops in double precision. */
  private static final class Sums {
    final double[][][] scores; // [rotated or not][pair][pair]: covariances of parts of the score
    final double[][] inputs;
    final double[][] attended;

    Sums(ModelConfig config, PlainLayer layer, Tensor xs) {
      int d = config.headLength();
      int pairs = d / 2;
      float[] q = TensorValues.floats(layer.queries(xs));
      float[] k = TensorValues.floats(layer.keys(xs));
      float[] x = inputs(config, TensorValues.floats(xs), k);
      int width = x.length / T;
      double[] inverse = config.rope().inverse();
      scores = new double[2][pairs][pairs];
      inputs = new double[width][width];
      attended = new double[width][width];
      for (int t = 0; t < T; t++) {
        for (int i = 0; i < width; i++) {
          for (int j = 0; j < width; j++) {
            inputs[i][j] += (double) x[t * width + i] * x[t * width + j] / T;
          }
        }
      }
      int queries = config.headCount() * T / 2;
      for (int head = 0; head < config.headCount(); head++) {
        int qStart = head * T * d;
        int kStart = head / config.groupSize() * T * d;
        for (int m = T / 2; m < T; m++) {
          double[][][] parts = new double[2][pairs][m + 1];
          double[] weights = new double[m + 1];
          double total = 0;
          for (int n = 0; n <= m; n++) {
            double score = 0;
            for (int f = 0; f < pairs; f++) {
              double qr = q[qStart + m * d + f];
              double qi = q[qStart + m * d + f + pairs];
              double kr = k[kStart + n * d + f];
              double ki = k[kStart + n * d + f + pairs];
              double angle = (n - m) * inverse[f];
              double same = (qr * kr + qi * ki) / Math.sqrt(d);
              double crossed = (qr * ki - qi * kr) / Math.sqrt(d);
              parts[0][f][n] = same * Math.cos(angle) - crossed * Math.sin(angle);
              parts[1][f][n] = same;
              score += parts[0][f][n];
            }
            weights[n] = Math.exp(score);
            total += weights[n];
          }
          for (int n = 0; n <= m; n++) {
            weights[n] /= total;
          }
          double[][] columns = new double[width][m + 1];
          for (int i = 0; i < width; i++) {
            for (int n = 0; n <= m; n++) {
              columns[i][n] = x[n * width + i];
            }
          }
          addCovariance(scores[0], parts[0], weights, queries);
          addCovariance(scores[1], parts[1], weights, queries);
          addCovariance(attended, columns, weights, queries);
        }
      }
    }

    /** What the latent is made of: x, and keys beside it where they are normed. */
    private static float[] inputs(ModelConfig config, float[] x, float[] keys) {
      if (config.family() != ModelFamily.QWEN3) {
        return x;
      }
      int d = config.headLength();
      int width = config.embeddingLength() + config.kvRows();
      float[] z = new float[T * width];
      for (int t = 0; t < T; t++) {
        System.arraycopy(x, t * config.embeddingLength(), z, t * width, config.embeddingLength());
        for (int head = 0; head < config.kvHeadCount(); head++) {
          System.arraycopy(
              keys, (head * T + t) * d, z, t * width + config.embeddingLength() + head * d, d);
        }
      }
      return z;
    }

    private static void addCovariance(
        double[][] sum, double[][] values, double[] weights, int count) {
      double[] means = new double[values.length];
      for (int i = 0; i < values.length; i++) {
        for (int n = 0; n < weights.length; n++) {
          means[i] += weights[n] * values[i][n];
        }
      }
      for (int i = 0; i < values.length; i++) {
        for (int j = 0; j < values.length; j++) {
          for (int n = 0; n < weights.length; n++) {
            sum[i][j] += weights[n] * (values[i][n] - means[i]) * (values[j][n] - means[j]) / count;
          }
        }
      }
    }
  }
}
