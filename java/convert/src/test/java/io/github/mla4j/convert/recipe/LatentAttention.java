package io.github.mla4j.convert.recipe;

import static io.github.mla4j.convert.recipe.ReferenceDecoder.dot;
import static io.github.mla4j.convert.recipe.ReferenceDecoder.project;

import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.source.ModelFamily;
import java.util.Arrays;

/** Attention from the tensors of the converted file, keys and values expanded first. */
final class LatentAttention implements ReferenceDecoder.Attention {
  private final ModelConfig config;
  private final LatentLayer layer;
  private final ReferenceDecoder.Weights weights;
  private final boolean normsAfterRotation;

  LatentAttention(LatentModel model, LatentLayer layer, ReferenceDecoder.Weights weights) {
    this.config = model.config();
    this.layer = layer;
    this.weights = weights;
    this.normsAfterRotation = model.normsAfterRotation();
  }

  @Override
  public double[][] apply(double[][] x) {
    int d = config.headLength();
    int r = layer.ropeDims();
    double[][] q = project(x, weights, "attn_q");
    double[][] rotary = r > 0 ? project(x, weights, "attn_k") : new double[x.length][0];
    double[][] others = keys(x, d - r);
    double[][] v = values(x);
    double[][] out = new double[x.length][config.queryRows()];
    for (int head = 0; head < config.headCount(); head++) {
      int g = head / config.groupSize();
      double[][] keys = new double[x.length][d];
      for (int t = 0; t < x.length; t++) {
        System.arraycopy(rotary[t], g * r, keys[t], 0, r);
        System.arraycopy(others[t], g * (d - r), keys[t], r, d - r);
        keys[t] = prepare(keys[t], "attn_k_norm.weight", g, g, t);
        double[] query = Arrays.copyOfRange(q[t], head * d, (head + 1) * d);
        query = prepare(query, "attn_q_norm.weight", head, g, t);
        double[] scores = new double[t + 1];
        for (int s = 0; s <= t; s++) {
          scores[s] = dot(query, keys[s]) / Math.sqrt(d);
        }
        ReferenceDecoder.softmax(scores);
        for (int s = 0; s <= t; s++) {
          for (int i = 0; i < d; i++) {
            out[t][head * d + i] += scores[s] * v[s][g * d + i];
          }
        }
      }
    }
    return project(out, weights, "attn_output");
  }

  /** Other keys [positions][kvHeads · n]. */
  private double[][] keys(double[][] x, int n) {
    if (n == 0) {
      return new double[x.length][0];
    }
    if (weights.find("attn_k_nope.weight").isPresent()) {
      return project(x, weights, "attn_k_nope");
    }
    double[][] c =
        project(
            x, weights, weights.find("attn_kv_a.weight").isPresent() ? "attn_kv_a" : "attn_k_a");
    double[] up = weights.get("attn_k_b.weight");
    int latent = c[0].length;
    double[][] keys = new double[x.length][config.kvHeadCount() * n];
    for (int t = 0; t < x.length; t++) {
      for (int row = 0; row < keys[t].length; row++) {
        for (int i = 0; i < latent; i++) {
          keys[t][row] += up[(row / n * latent + i) * n + row % n] * c[t][i];
        }
      }
    }
    return keys;
  }

  private double[][] values(double[][] x) {
    if (weights.find("attn_v.weight").isPresent()) {
      return project(x, weights, "attn_v");
    }
    String down = weights.find("attn_kv_a.weight").isPresent() ? "attn_kv_a" : "attn_v_a";
    return ReferenceDecoder.multiply(project(x, weights, down), weights.get("attn_v_b.weight"));
  }

  private double[] prepare(double[] v, String norm, int head, int g, int position) {
    int d = config.headLength();
    int pairs = layer.ropeDims() / 2;
    double[] inverse = new double[pairs];
    for (int i = 0; i < pairs; i++) {
      inverse[i] = layer.frequencies()[g * pairs + i];
    }
    if (config.family() != ModelFamily.QWEN3) {
      return rotate(v, inverse, position);
    }
    double[] weight = weights.get(norm);
    int start = weight.length == d ? 0 : head * d;
    double[] headWeight = Arrays.copyOfRange(weight, start, start + d);
    return normsAfterRotation
        ? ReferenceDecoder.rmsNorm(rotate(v, inverse, position), headWeight, config.rmsEpsilon())
        : rotate(ReferenceDecoder.rmsNorm(v, headWeight, config.rmsEpsilon()), inverse, position);
  }

  private double[] rotate(double[] v, double[] inverse, int position) {
    double[] rotary = Arrays.copyOf(v, 2 * inverse.length);
    ReferenceDecoder.rotate(rotary, inverse, position, config.rope().attentionFactor());
    double[] rotated = v.clone();
    System.arraycopy(rotary, 0, rotated, 0, rotary.length);
    return rotated;
  }
}
