package io.github.mla4j.convert.recipe;

import static io.github.mla4j.convert.recipe.ReferenceDecoder.dot;
import static io.github.mla4j.convert.recipe.ReferenceDecoder.project;

import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.source.ModelFamily;
import java.util.Arrays;

/** Grouped-query attention as Llama, Qwen2 and Qwen3 define it. */
final class PlainAttention implements ReferenceDecoder.Attention {
  private final ModelConfig config;
  private final ReferenceDecoder.Weights weights;

  PlainAttention(ModelConfig config, ReferenceDecoder.Weights weights) {
    this.config = config;
    this.weights = weights;
  }

  @Override
  public double[][] apply(double[][] x) {
    int d = config.headLength();
    double[][] q = project(x, weights, "attn_q");
    double[][] k = project(x, weights, "attn_k");
    double[][] v = project(x, weights, "attn_v");
    double[][] out = new double[x.length][config.queryRows()];
    for (int head = 0; head < config.headCount(); head++) {
      int kvHead = head / config.groupSize();
      double[][] keys = new double[x.length][];
      for (int t = 0; t < x.length; t++) {
        keys[t] = prepare(k[t], kvHead, "attn_k_norm.weight", t);
        double[] query = prepare(q[t], head, "attn_q_norm.weight", t);
        int first =
            config.slidingWindow().isPresent()
                ? Math.max(0, t + 1 - config.slidingWindow().getAsInt())
                : 0;
        double[] scores = new double[t + 1 - first];
        for (int s = 0; s < scores.length; s++) {
          scores[s] = dot(query, keys[first + s]) / Math.sqrt(d);
        }
        ReferenceDecoder.softmax(scores);
        for (int s = 0; s < scores.length; s++) {
          for (int i = 0; i < d; i++) {
            out[t][head * d + i] += scores[s] * v[first + s][kvHead * d + i];
          }
        }
      }
    }
    return project(out, weights, "attn_output");
  }

  private double[] prepare(double[] rows, int head, String norm, int position) {
    int d = config.headLength();
    double[] v = Arrays.copyOfRange(rows, head * d, (head + 1) * d);
    if (config.family() == ModelFamily.QWEN3) {
      v = ReferenceDecoder.rmsNorm(v, weights.get(norm), config.rmsEpsilon());
    }
    ReferenceDecoder.rotate(v, config.rope().inverse(), position, config.rope().attentionFactor());
    return v;
  }
}
