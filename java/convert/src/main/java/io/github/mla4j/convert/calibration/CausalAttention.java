package io.github.mla4j.convert.calibration;

import io.github.mla4j.convert.linalg.FloatMatrix;
import io.github.mla4j.convert.linalg.Gemm;
import io.github.mla4j.convert.source.ModelConfig;
import java.util.stream.IntStream;

/** Grouped-query attention of one sequence, head after head. */
final class CausalAttention {
  private final ModelConfig config;

  CausalAttention(ModelConfig config) {
    this.config = config;
  }

  /**
   * Mixes values by the softmax of scaled scores; the caller closes the result.
   *
   * @param q [T, heads · d], rotated
   * @param k [T, kvHeads · d], rotated
   * @param v [T, kvHeads · d]
   */
  FloatMatrix apply(FloatMatrix q, FloatMatrix k, FloatMatrix v) {
    int t = q.rows();
    int d = config.headLength();
    float scale = (float) (1 / Math.sqrt(d));
    FloatMatrix out = new FloatMatrix(t, q.columns());
    try (FloatMatrix scores = new FloatMatrix(t, t)) {
      for (int head = 0; head < config.headCount(); head++) {
        int kvStart = head / config.groupSize() * d;
        Gemm.multiplyTransposed(
            t, t, d, scale, q.columns(head * d), k.columns(kvStart), scores.view());
        softmax(scores);
        Gemm.multiply(t, d, t, 1, scores.view(), v.columns(kvStart), out.columns(head * d));
      }
    }
    return out;
  }

  private void softmax(FloatMatrix scores) {
    IntStream.range(0, scores.rows()).parallel().forEach(t -> softmaxRow(scores, t));
  }

  private void softmaxRow(FloatMatrix scores, int t) {
    float[] row = new float[scores.columns()];
    scores.get(t, row);
    int first = Math.max(0, t + 1 - config.slidingWindow().orElse(t + 1));
    float max = Float.NEGATIVE_INFINITY;
    for (int s = first; s <= t; s++) {
      max = Math.max(max, row[s]);
    }
    double sum = 0;
    for (int s = 0; s < row.length; s++) {
      row[s] = s < first || s > t ? 0 : (float) Math.exp(row[s] - max);
      sum += row[s];
    }
    for (int s = first; s <= t; s++) {
      row[s] /= (float) sum;
    }
    scores.put(t, row);
  }
}
