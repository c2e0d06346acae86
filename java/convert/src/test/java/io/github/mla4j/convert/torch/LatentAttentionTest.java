package io.github.mla4j.convert.torch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.Optional;
import java.util.Random;
import org.bytedeco.pytorch.AbstractTensor;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;

/** Against the formula in plain loops and double precision, in the absorbed order of the engine. */
class LatentAttentionTest {
  private static final int HIDDEN = 10;
  private static final int HEADS = 6;
  private static final int KV_HEADS = 2;
  private static final int PLAIN = 4;
  private static final int VALUE = 3;
  private static final int LATENT = 5;
  private static final int KEY_LENGTH = 8;
  private static final int LENGTH = 7;

  private final Random random = new Random(3);

  private Tensor random(long... shape) {
    long count = 1;
    for (long size : shape) {
      count *= size;
    }
    float[] values = new float[(int) count];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) random.nextGaussian() * 0.5f;
    }
    return AbstractTensor.create(values, shape);
  }

  private LatentWeights weights(boolean biases, float... frequencies) {
    int rotary = 2 * frequencies.length;
    int query = HEADS * (rotary + PLAIN);
    return new LatentWeights(
        random(query, HIDDEN),
        biases ? Optional.of(random(query)) : Optional.empty(),
        rotary > 0 ? Optional.of(random(rotary, HIDDEN)) : Optional.empty(),
        biases ? Optional.of(random(rotary)) : Optional.empty(),
        frequencies,
        random(LATENT, HIDDEN),
        random(KV_HEADS, PLAIN, LATENT),
        random(KV_HEADS, VALUE, LATENT),
        random(HIDDEN, HEADS * VALUE),
        biases ? Optional.of(random(HIDDEN)) : Optional.empty());
  }

  private void assertAgrees(LatentWeights weights) {
    Tensor x = random(2, LENGTH, HIDDEN);
    float[] got;
    try (LatentAttention attention = new LatentAttention(weights, LENGTH, KEY_LENGTH);
        RotaryTable other = new RotaryTable(LENGTH, KEY_LENGTH, 10)) {
      got =
          TorchScope.computeWithoutGradients(
              () -> TensorValues.floats(attention.forward(x, other)));
    }
    float[] input = TensorValues.floats(x);
    for (int row = 0; row < 2; row++) {
      double[][] sequence = new double[LENGTH][HIDDEN];
      for (int i = 0; i < LENGTH * HIDDEN; i++) {
        sequence[i / HIDDEN][i % HIDDEN] = input[row * LENGTH * HIDDEN + i];
      }
      double[][] expected = reference(weights, sequence);
      for (int i = 0; i < LENGTH * HIDDEN; i++) {
        double value = expected[i / HIDDEN][i % HIDDEN];
        assertEquals(
            value, got[row * LENGTH * HIDDEN + i], 1e-5 * (1 + Math.abs(value)), "element " + i);
      }
    }
  }

  @Test
  void agreesWithTheFormulaInPlainLoops() {
    assertAgrees(weights(false, 1f, 0.3f, 0.7f));
  }

  @Test
  void addsBiases() {
    assertAgrees(weights(true, 0.9f));
  }

  @Test
  void rotaryKeysMayBeWiderThanAHead() {
    assertAgrees(weights(false, 1f, 0.5f, 1f, 0.25f, 0.5f, 0.125f));
  }

  @Test
  void worksWithoutRotaryKeys() {
    assertAgrees(weights(false));
  }

  @Test
  void gradientsReachEveryTensor() {
    LatentWeights weights = weights(false, 1f, 0.3f);
    Tensor[] tensors = {
      weights.query(), weights.rotaryKey().orElseThrow(), weights.down(),
      weights.keyUp(), weights.valueUp(), weights.output()
    };
    for (Tensor tensor : tensors) {
      tensor.requires_grad_(true);
    }
    try (LatentAttention attention = new LatentAttention(weights, LENGTH, KEY_LENGTH);
        RotaryTable other = new RotaryTable(LENGTH, KEY_LENGTH, 10)) {
      attention.forward(random(1, LENGTH, HIDDEN), other).square().sum().backward();
    }
    for (int i = 0; i < tensors.length; i++) {
      assertEquals(true, tensors[i].grad().abs().sum().item_float() > 1e-3, "tensor " + i);
    }
  }

  @Test
  void namesTheTensorThatDoesNotFit() {
    LatentWeights good = weights(false, 1f);
    IllegalArgumentException e =
        assertThrows(
            IllegalArgumentException.class,
            () ->
                new LatentWeights(
                    good.query(),
                    Optional.empty(),
                    good.rotaryKey(),
                    Optional.empty(),
                    good.frequencies(),
                    random(LATENT + 1, HIDDEN),
                    good.keyUp(),
                    good.valueUp(),
                    good.output(),
                    Optional.empty()));
    assertEquals("down has shape [6, 10], expected [5, 10]", e.getMessage());
  }

  /** score = (rot(q) . rot(k) + (B_k' q) . c) / sqrt(d); the head's output is B_v (sum p c). */
  private static double[][] reference(LatentWeights w, double[][] x) {
    float[] frequencies = w.frequencies();
    int rotary = 2 * frequencies.length;
    double[][] q = linear(x, w.query(), w.queryBias());
    double[][] c = linear(x, w.down(), Optional.empty());
    double[][] k =
        rotary > 0
            ? linear(x, w.rotaryKey().orElseThrow(), w.rotaryKeyBias())
            : new double[x.length][0];
    float[] keyUp = TensorValues.floats(w.keyUp());
    float[] valueUp = TensorValues.floats(w.valueUp());
    double[][] joined = new double[x.length][HEADS * VALUE];
    for (int head = 0; head < HEADS; head++) {
      int kv = head / (HEADS / KV_HEADS);
      int start = head * (rotary + PLAIN);
      for (int t = 0; t < x.length; t++) {
        double[] absorbed = new double[LATENT];
        for (int n = 0; n < PLAIN; n++) {
          for (int j = 0; j < LATENT; j++) {
            absorbed[j] += q[t][start + rotary + n] * keyUp[(kv * PLAIN + n) * LATENT + j];
          }
        }
        double[] mixed = new double[LATENT];
        double sum = 0;
        for (int s = 0; s <= t; s++) {
          double score = 0;
          for (int j = 0; j < LATENT; j++) {
            score += absorbed[j] * c[s][j];
          }
          // Two rotations leave the difference of positions: Re(conj(q) k e^{i f (s - t)}).
          for (int i = 0; i < rotary / 2; i++) {
            double angle = frequencies[i] * (s - t);
            double a = k[s][i];
            double b = k[s][i + rotary / 2];
            score += q[t][start + i] * (a * Math.cos(angle) - b * Math.sin(angle));
            score += q[t][start + i + rotary / 2] * (b * Math.cos(angle) + a * Math.sin(angle));
          }
          double weight = Math.exp(score / Math.sqrt(KEY_LENGTH));
          sum += weight;
          for (int j = 0; j < LATENT; j++) {
            mixed[j] += weight * c[s][j];
          }
        }
        for (int v = 0; v < VALUE; v++) {
          for (int j = 0; j < LATENT; j++) {
            joined[t][head * VALUE + v] += valueUp[(kv * VALUE + v) * LATENT + j] * mixed[j] / sum;
          }
        }
      }
    }
    return linear(joined, w.output(), w.outputBias());
  }

  private static double[][] linear(double[][] x, Tensor matrix, Optional<Tensor> bias) {
    float[] weight = TensorValues.floats(matrix);
    int out = (int) matrix.size(0);
    int in = (int) matrix.size(1);
    float[] start = bias.map(TensorValues::floats).orElse(new float[out]);
    double[][] y = new double[x.length][out];
    for (int t = 0; t < x.length; t++) {
      for (int o = 0; o < out; o++) {
        y[t][o] = start[o];
        for (int i = 0; i < in; i++) {
          y[t][o] += weight[o * in + i] * x[t][i];
        }
      }
    }
    return y;
  }
}
