package io.github.mla4j.convert.recipe;

import io.github.mla4j.convert.source.DecoderTensors;
import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.source.ModelSource;
import io.github.mla4j.convert.source.TensorLookup;
import io.github.mla4j.convert.source.WeightTensor;
import java.io.IOException;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;

/** A decoder in plain loops and double precision, for small models. */
public final class ReferenceDecoder {
  private final ModelConfig config;
  private final Weights shared;
  private final Attention[] attention;
  private final Weights[] layers;

  /** What a layer adds to the residual stream, given its normed input [positions][D]. */
  interface Attention {
    double[][] apply(double[][] x);
  }

  private ReferenceDecoder(
      ModelConfig config, Weights shared, Attention[] attention, Weights[] layers) {
    this.config = config;
    this.shared = shared;
    this.attention = attention;
    this.layers = layers;
  }

  /** A plain model, attention as its family defines it. */
  public static ReferenceDecoder of(ModelSource source) throws IOException {
    int count = source.config().blockCount();
    Attention[] attention = new Attention[count];
    Weights[] layers = new Weights[count];
    for (int i = 0; i < count; i++) {
      layers[i] = Weights.of(source, "blk." + i + ".");
      attention[i] = new PlainAttention(source.config(), layers[i]);
    }
    return new ReferenceDecoder(source.config(), Weights.of(source, ""), attention, layers);
  }

  /** A converted model, attention as native/README.md defines it. */
  public static ReferenceDecoder of(LatentModel model) throws IOException {
    int count = model.config().blockCount();
    Attention[] attention = new Attention[count];
    Weights[] layers = new Weights[count];
    for (int i = 0; i < count; i++) {
      LatentLayer layer = model.layer(i);
      layers[i] = Weights.of(layer.tensors(), "blk." + i + ".");
      attention[i] = new LatentAttention(model, layer, layers[i]);
    }
    return new ReferenceDecoder(
        model.config(), Weights.of(model.sharedTensors(), ""), attention, layers);
  }

  /** Logits [positions][vocabulary] of a sequence. */
  public double[][] logits(int[] tokens) {
    double[][] x = stream(tokens, layers.length);
    double[] output =
        shared.find(DecoderTensors.OUTPUT).orElseGet(() -> shared.get(DecoderTensors.EMBEDDING));
    return multiply(norm(x, shared.get(DecoderTensors.OUTPUT_NORM)), output);
  }

  /** A projection of a layer's normed input, such as {@code attn_q}: [positions][rows]. */
  public double[][] projection(int[] tokens, int layer, String module) {
    double[][] x = norm(stream(tokens, layer), layers[layer].get("attn_norm.weight"));
    return project(x, layers[layer], module);
  }

  /** The residual stream before a layer. */
  private double[][] stream(int[] tokens, int end) {
    int d = config.embeddingLength();
    double[] embedding = shared.get(DecoderTensors.EMBEDDING);
    double[][] x = new double[tokens.length][d];
    for (int t = 0; t < tokens.length; t++) {
      System.arraycopy(embedding, tokens[t] * d, x[t], 0, d);
    }
    for (int i = 0; i < end; i++) {
      add(x, attention[i].apply(norm(x, layers[i].get("attn_norm.weight"))));
      add(x, feedForward(norm(x, layers[i].get("ffn_norm.weight")), layers[i]));
    }
    return x;
  }

  private double[][] feedForward(double[][] x, Weights layer) {
    double[][] gate = multiply(x, layer.get("ffn_gate.weight"));
    double[][] up = multiply(x, layer.get("ffn_up.weight"));
    for (int t = 0; t < x.length; t++) {
      for (int i = 0; i < gate[t].length; i++) {
        gate[t][i] *= up[t][i] / (1 + Math.exp(-gate[t][i]));
      }
    }
    return multiply(gate, layer.get("ffn_down.weight"));
  }

  private double[][] norm(double[][] x, double[] weight) {
    double[][] y = new double[x.length][];
    for (int t = 0; t < x.length; t++) {
      y[t] = rmsNorm(x[t], weight, config.rmsEpsilon());
    }
    return y;
  }

  static double[] rmsNorm(double[] x, double[] weight, double epsilon) {
    double square = 0;
    for (double value : x) {
      square += value * value;
    }
    double scale = 1 / Math.sqrt(square / x.length + epsilon);
    double[] y = new double[x.length];
    for (int i = 0; i < x.length; i++) {
      y[i] = x[i] * scale * weight[i];
    }
    return y;
  }

  /** x · wᵀ, w [rows, x's length]. */
  static double[][] multiply(double[][] x, double[] w) {
    int columns = x[0].length;
    int rows = w.length / columns;
    double[][] y = new double[x.length][rows];
    for (int t = 0; t < x.length; t++) {
      for (int row = 0; row < rows; row++) {
        double sum = 0;
        for (int i = 0; i < columns; i++) {
          sum += x[t][i] * w[row * columns + i];
        }
        y[t][row] = sum;
      }
    }
    return y;
  }

  /** x · wᵀ + b, a bias that may be absent. */
  static double[][] project(double[][] x, Weights weights, String module) {
    double[][] y = multiply(x, weights.get(module + ".weight"));
    Optional<double[]> bias = weights.find(module + ".bias");
    if (bias.isPresent()) {
      for (double[] row : y) {
        for (int i = 0; i < row.length; i++) {
          row[i] += bias.get()[i];
        }
      }
    }
    return y;
  }

  /** Rotates halves (i, i + n) of v by position · inverse[i]. */
  static void rotate(double[] v, double[] inverse, int position, double factor) {
    int n = inverse.length;
    for (int i = 0; i < n; i++) {
      double cos = Math.cos(position * inverse[i]) * factor;
      double sin = Math.sin(position * inverse[i]) * factor;
      double a = v[i];
      double b = v[i + n];
      v[i] = a * cos - b * sin;
      v[i + n] = b * cos + a * sin;
    }
  }

  static double dot(double[] a, double[] b) {
    double sum = 0;
    for (int i = 0; i < a.length; i++) {
      sum += a[i] * b[i];
    }
    return sum;
  }

  static void softmax(double[] scores) {
    double max = Double.NEGATIVE_INFINITY;
    for (double s : scores) {
      max = Math.max(max, s);
    }
    double sum = 0;
    for (int i = 0; i < scores.length; i++) {
      scores[i] = Math.exp(scores[i] - max);
      sum += scores[i];
    }
    for (int i = 0; i < scores.length; i++) {
      scores[i] /= sum;
    }
  }

  private static void add(double[][] x, double[][] y) {
    for (int t = 0; t < x.length; t++) {
      for (int i = 0; i < x[t].length; i++) {
        x[t][i] += y[t][i];
      }
    }
  }

  /** Tensors by the part of their name behind a prefix. */
  static final class Weights {
    private final Map<String, double[]> values = new HashMap<>();

    static Weights of(TensorLookup source, String prefix) throws IOException {
      Weights weights = new Weights();
      for (String name :
          new String[] {
            "token_embd.weight",
            "output_norm.weight",
            "output.weight",
            "attn_norm.weight",
            "attn_q.weight",
            "attn_q.bias",
            "attn_k.weight",
            "attn_k.bias",
            "attn_v.weight",
            "attn_v.bias",
            "attn_output.weight",
            "attn_output.bias",
            "attn_q_norm.weight",
            "attn_k_norm.weight",
            "ffn_norm.weight",
            "ffn_gate.weight",
            "ffn_up.weight",
            "ffn_down.weight"
          }) {
        Optional<WeightTensor> tensor = source.find(prefix + name);
        tensor.ifPresent(found -> weights.values.put(name, widen(found.readAll())));
      }
      return weights;
    }

    static Weights of(Iterable<OutputTensor> tensors, String prefix) {
      Weights weights = new Weights();
      for (OutputTensor tensor : tensors) {
        weights.values.put(
            tensor.name().substring(prefix.length()), widen(tensor.data().readAll()));
      }
      return weights;
    }

    double[] get(String name) {
      return find(name).orElseThrow(() -> new AssertionError(name + " is missing"));
    }

    Optional<double[]> find(String name) {
      return Optional.ofNullable(values.get(name));
    }

    private static double[] widen(float[] values) {
      double[] wide = new double[values.length];
      for (int i = 0; i < wide.length; i++) {
        wide[i] = values[i];
      }
      return wide;
    }
  }
}
