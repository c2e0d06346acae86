package io.github.mla4j.convert.calibration;

import io.github.mla4j.CancelledException;
import io.github.mla4j.convert.linalg.FloatMatrix;
import io.github.mla4j.convert.linalg.Gemm;
import io.github.mla4j.convert.source.DecoderTensors;
import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.source.ModelSource;
import io.github.mla4j.convert.source.WeightTensor;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.IntConsumer;

/**
 * Runs a plain model over sequences, all of them through one layer before the next, so that memory
 * holds one layer's weights and the sequences' residual streams. An interrupt of the thread cancels
 * it.
 */
public final class LayerwiseForward {
  private final ModelSource source;
  private final ModelConfig config;

  public LayerwiseForward(ModelSource source) {
    this.source = source;
    this.config = source.config();
  }

  /**
   * Shows each layer's projections to the observer. The last layer's output, which none of them
   * needs, is not computed.
   *
   * @param sequences token ids of the model's vocabulary; each begins at position 0
   * @param layerDone told how many layers all sequences have passed
   * @throws CancelledException if the thread was interrupted
   */
  public void run(int[][] sequences, LayerObserver observer, IntConsumer layerDone)
      throws IOException {
    List<FloatMatrix> streams = new ArrayList<>();
    try {
      for (int[] sequence : sequences) {
        streams.add(embed(sequence));
      }
      for (int layer = 0; layer < config.blockCount(); layer++) {
        try (LayerWeights weights = new LayerWeights(source, layer)) {
          for (FloatMatrix stream : streams) {
            if (Thread.interrupted()) {
              throw new CancelledException("calibration was cancelled");
            }
            pass(stream, weights, layer, observer);
          }
        }
        layerDone.accept(layer + 1);
      }
    } finally {
      streams.forEach(FloatMatrix::close);
    }
  }

  private FloatMatrix embed(int[] sequence) throws IOException {
    WeightTensor embedding = source.tensor(DecoderTensors.EMBEDDING);
    FloatMatrix x = new FloatMatrix(sequence.length, config.embeddingLength());
    float[] row = new float[config.embeddingLength()];
    for (int t = 0; t < sequence.length; t++) {
      embedding.read(sequence[t], 1, row, 0);
      x.put(t, row);
    }
    return x;
  }

  private void pass(FloatMatrix x, LayerWeights weights, int layer, LayerObserver observer) {
    try (FloatMatrix normed = norm(x, weights.attentionNorm, x.columns());
        FloatMatrix q = project(normed, weights.query);
        FloatMatrix k = project(normed, weights.key)) {
      observer.projected(layer, q, k);
      if (layer + 1 == config.blockCount()) {
        return;
      }
      try (FloatMatrix v = project(normed, weights.value);
          FloatMatrix readyQ = prepare(q, weights.queryNorm);
          FloatMatrix readyK = prepare(k, weights.keyNorm);
          FloatMatrix attended = new CausalAttention(config).apply(readyQ, readyK, v);
          FloatMatrix change = project(attended, weights.output)) {
        add(x, change);
      }
    }
    feedForward(x, weights);
  }

  private void feedForward(FloatMatrix x, LayerWeights weights) {
    try (FloatMatrix normed = norm(x, weights.feedForwardNorm, x.columns());
        FloatMatrix gate = project(normed, weights.gate);
        FloatMatrix up = project(normed, weights.up)) {
      FloatBuffer g = gate.buffer();
      FloatBuffer u = up.buffer();
      for (int i = 0; i < g.capacity(); i++) {
        float value = g.get(i);
        g.put(i, (float) (value / (1 + Math.exp(-value)) * u.get(i)));
      }
      try (FloatMatrix change = project(gate, weights.down)) {
        add(x, change);
      }
    }
  }

  private static FloatMatrix project(FloatMatrix x, LayerWeights.Projection projection) {
    FloatMatrix weight = projection.weight();
    FloatMatrix y = new FloatMatrix(x.rows(), weight.rows());
    Gemm.multiplyTransposed(
        x.rows(), weight.rows(), x.columns(), 1, x.view(), weight.view(), y.view());
    Optional<float[]> bias = projection.bias();
    if (bias.isPresent()) {
      FloatBuffer values = y.buffer();
      for (int i = 0; i < values.capacity(); i++) {
        values.put(i, values.get(i) + bias.get()[i % y.columns()]);
      }
    }
    return y;
  }

  /** Norms where the family has them, then rotation. */
  private FloatMatrix prepare(FloatMatrix heads, Optional<float[]> headNorm) {
    FloatMatrix ready =
        norm(
            heads,
            headNorm.orElseGet(() -> new float[0]),
            headNorm.isPresent() ? config.headLength() : 0);
    rotate(ready);
    return ready;
  }

  /** RMS norm of every {@code length} elements; a copy where {@code length} is 0. */
  private FloatMatrix norm(FloatMatrix x, float[] weight, int length) {
    FloatMatrix y = new FloatMatrix(x.rows(), x.columns());
    float[] row = new float[x.columns()];
    for (int t = 0; t < x.rows(); t++) {
      x.get(t, row);
      for (int start = 0; length > 0 && start < row.length; start += length) {
        double square = 0;
        for (int i = start; i < start + length; i++) {
          square += (double) row[i] * row[i];
        }
        float scale = (float) (1 / Math.sqrt(square / length + config.rmsEpsilon()));
        for (int i = 0; i < length; i++) {
          row[start + i] *= scale * weight[i];
        }
      }
      y.put(t, row);
    }
    return y;
  }

  private void rotate(FloatMatrix x) {
    double[] inverse = config.rope().inverse();
    double factor = config.rope().attentionFactor();
    int pairs = inverse.length;
    float[] row = new float[x.columns()];
    for (int t = 0; t < x.rows(); t++) {
      x.get(t, row);
      for (int pair = 0; pair < pairs; pair++) {
        float cos = (float) (Math.cos(t * inverse[pair]) * factor);
        float sin = (float) (Math.sin(t * inverse[pair]) * factor);
        for (int i = pair; i < row.length; i += config.headLength()) {
          float a = row[i];
          float b = row[i + pairs];
          row[i] = a * cos - b * sin;
          row[i + pairs] = b * cos + a * sin;
        }
      }
      x.put(t, row);
    }
  }

  private static void add(FloatMatrix x, FloatMatrix change) {
    FloatBuffer to = x.buffer();
    FloatBuffer from = change.buffer();
    for (int i = 0; i < to.capacity(); i++) {
      to.put(i, to.get(i) + from.get(i));
    }
  }
}
