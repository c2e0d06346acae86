package io.github.mla4j.convert.torch;

import java.util.Arrays;

/** The Llama forward pass in plain loops and double precision, one sequence at a time. */
final class PlainLlama {
  private final LlamaShape shape;
  private final Parameters parameters;

  PlainLlama(LlamaShape shape, Parameters parameters) {
    this.shape = shape;
    this.parameters = parameters;
  }

  private float[] weight(String name) {
    return TensorValues.floats(parameters.all().get(name));
  }

  /** Scores of every next token, [length][vocabulary] flattened. */
  double[] logits(int[] tokens) {
    int hidden = shape.hidden();
    float[] embedding = weight("model.embed_tokens.weight");
    double[][] x = new double[tokens.length][hidden];
    for (int t = 0; t < tokens.length; t++) {
      for (int i = 0; i < hidden; i++) {
        x[t][i] = embedding[tokens[t] * hidden + i];
      }
    }
    for (int layer = 0; layer < shape.layers(); layer++) {
      String prefix = "model.layers." + layer + ".";
      double[][] attended = attention(norm(x, weight(prefix + "input_layernorm.weight")), prefix);
      add(x, attended);
      add(x, feedForward(norm(x, weight(prefix + "post_attention_layernorm.weight")), prefix));
    }
    double[][] scores = linear(norm(x, weight("model.norm.weight")), embedding);
    return Arrays.stream(scores).flatMapToDouble(Arrays::stream).toArray();
  }

  private double[][] attention(double[][] x, String prefix) {
    int width = shape.headDim();
    double[][] q = linear(x, weight(prefix + "self_attn.q_proj.weight"));
    double[][] k = linear(x, weight(prefix + "self_attn.k_proj.weight"));
    double[][] v = linear(x, weight(prefix + "self_attn.v_proj.weight"));
    double[][] joined = new double[x.length][shape.queryWidth()];
    for (int head = 0; head < shape.heads(); head++) {
      int kv = head / (shape.heads() / shape.kvHeads());
      for (int t = 0; t < x.length; t++) {
        double[] query = rotated(q[t], head * width, t);
        double[] weights = new double[t + 1];
        double sum = 0;
        for (int s = 0; s <= t; s++) {
          double[] key = rotated(k[s], kv * width, s);
          double dot = 0;
          for (int i = 0; i < width; i++) {
            dot += query[i] * key[i];
          }
          weights[s] = Math.exp(dot / Math.sqrt(width));
          sum += weights[s];
        }
        for (int s = 0; s <= t; s++) {
          for (int i = 0; i < width; i++) {
            joined[t][head * width + i] += weights[s] / sum * v[s][kv * width + i];
          }
        }
      }
    }
    return linear(joined, weight(prefix + "self_attn.o_proj.weight"));
  }

  private double[] rotated(double[] row, int start, int position) {
    int width = shape.headDim();
    double[] out = new double[width];
    for (int i = 0; i < width / 2; i++) {
      double angle = position / Math.pow(shape.ropeTheta(), 2.0 * i / width);
      double a = row[start + i];
      double b = row[start + i + width / 2];
      out[i] = a * Math.cos(angle) - b * Math.sin(angle);
      out[i + width / 2] = b * Math.cos(angle) + a * Math.sin(angle);
    }
    return out;
  }

  private double[][] feedForward(double[][] x, String prefix) {
    double[][] gate = linear(x, weight(prefix + "mlp.gate_proj.weight"));
    double[][] up = linear(x, weight(prefix + "mlp.up_proj.weight"));
    for (int t = 0; t < x.length; t++) {
      for (int i = 0; i < gate[t].length; i++) {
        gate[t][i] = gate[t][i] / (1 + Math.exp(-gate[t][i])) * up[t][i];
      }
    }
    return linear(gate, weight(prefix + "mlp.down_proj.weight"));
  }

  private double[][] norm(double[][] x, float[] weight) {
    double[][] out = new double[x.length][weight.length];
    for (int t = 0; t < x.length; t++) {
      double mean = Arrays.stream(x[t]).map(a -> a * a).average().orElseThrow();
      for (int i = 0; i < weight.length; i++) {
        out[t][i] = x[t][i] / Math.sqrt(mean + shape.normEpsilon()) * weight[i];
      }
    }
    return out;
  }

  private static double[][] linear(double[][] x, float[] weight) {
    int in = x[0].length;
    int out = weight.length / in;
    double[][] y = new double[x.length][out];
    for (int t = 0; t < x.length; t++) {
      for (int o = 0; o < out; o++) {
        for (int i = 0; i < in; i++) {
          y[t][o] += weight[o * in + i] * x[t][i];
        }
      }
    }
    return y;
  }

  private static void add(double[][] x, double[][] more) {
    for (int t = 0; t < x.length; t++) {
      for (int i = 0; i < x[t].length; i++) {
        x[t][i] += more[t][i];
      }
    }
  }
}
