package io.github.mla4j.convert.calibrated;

import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.torch.TensorValues;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.AbstractTensor;
import org.bytedeco.pytorch.Tensor;

/**
 * A layer's queries and keys split into the components that rotate and the rest. Biases ride along
 * as one more column of the weights. Where heads are normed before they are split, a head's query
 * is made of its normed query (d in place of D below), keys of all normed keys (kvHeads · d).
 *
 * @param query rotary part of queries, [heads · R, D]; the rest is whole queries
 * @param queryBias [heads · R]
 * @param key rotary part of keys, [G · R, D]
 * @param keyBias [G · R]
 * @param frequencies inverse frequencies, [G · R/2]
 * @param otherKeys what is left of the keys, with the gains of the rotations removed, [kvHeads · d,
 *     D]; a bias there cancels in the softmax
 */
record RotaryPart(
    Tensor query,
    Tensor queryBias,
    Tensor key,
    Tensor keyBias,
    double[] frequencies,
    Tensor otherKeys) {

  /**
   * @param choices of each block
   * @param keep components kept of each block, R/2
   */
  static RotaryPart split(
      ModelConfig config,
      PlainLayer layer,
      List<ComponentBlock> blocks,
      List<ComponentBasis> bases,
      List<ComponentChoice> choices,
      int keep) {
    Splitter splitter = new Splitter(config, layer, blocks.size(), keep);
    for (int b = 0; b < blocks.size(); b++) {
      splitter.split(b, blocks.get(b), bases.get(b), choices.get(b));
    }
    return splitter.part();
  }

  /** Fills the matrices block by block. */
  private static final class Splitter {
    private final ModelConfig config;
    private final int keep;
    private final int groups;
    private final float[][] queryRows;
    private final float[][] keyRows;
    private final float[][] rotaryQueries;
    private final float[][] rotaryKeys;
    private final float[][] otherKeys;
    private final List<Double> frequencies = new ArrayList<>();

    Splitter(ModelConfig config, PlainLayer layer, int groups, int keep) {
      this.config = config;
      this.keep = keep;
      this.groups = groups;
      boolean whole = LatentInput.normsHeads(config);
      this.queryRows =
          whole
              ? identities(config.headCount(), config.headLength())
              : rows(layer.query, layer.queryBias);
      this.keyRows = whole ? identities(1, config.kvRows()) : rows(layer.key, layer.keyBias);
      this.rotaryQueries = new float[config.headCount() * 2 * keep][queryRows[0].length];
      this.rotaryKeys = new float[groups * 2 * keep][keyRows[0].length];
      this.otherKeys = new float[config.kvRows()][keyRows[0].length];
    }

    /** Identities below each other, without biases. */
    private static float[][] identities(int count, int size) {
      float[][] rows = new float[count * size][size + 1];
      for (int i = 0; i < rows.length; i++) {
        rows[i][i % size] = 1;
      }
      return rows;
    }

    private static float[][] rows(Tensor weight, Tensor bias) {
      float[] values = TensorValues.floats(weight);
      float[] last = TensorValues.floats(bias);
      int width = values.length / last.length + 1;
      float[][] rows = new float[last.length][width];
      for (int i = 0; i < rows.length; i++) {
        System.arraycopy(values, i * (width - 1), rows[i], 0, width - 1);
        rows[i][width - 1] = last[i];
      }
      return rows;
    }

    void split(int group, ComponentBlock block, ComponentBasis basis, ComponentChoice choice) {
      float[] real = TensorValues.floats(basis.real());
      float[] imaginary = TensorValues.floats(basis.imaginary());
      int[] kept = choice.kept(keep);
      int next = 0;
      for (int c = 0; c < block.components(); c++) {
        int j = c / block.frequencies();
        int f = c % block.frequencies();
        boolean rotates = next < kept.length && kept[next] == c;
        float[][] component = new float[2][keyRows[0].length];
        for (int g = 0; g < block.kvHeads(); g++) {
          int u = (f * block.kvHeads() + g) * block.kvHeads() + j;
          addProduct(
              real[u], -imaginary[u], keyRows, row(block.firstKvHead() + g, f), component, 0, 1);
        }
        if (rotates) {
          int pair = group * 2 * keep + next;
          rotaryKeys[pair] = component[0];
          rotaryKeys[pair + keep] = component[1];
          frequencies.add(config.rope().inverse()[f]);
        }
        for (int g = 0; g < block.kvHeads(); g++) {
          int u = (f * block.kvHeads() + g) * block.kvHeads() + j;
          int kvHead = block.firstKvHead() + g;
          if (rotates) {
            rotateQueries(kvHead, f, next, real[u], imaginary[u]);
            continue;
          }
          // U γ: back to the heads' own keys, without rotation.
          double re = real[u] * choice.gainReal(c) - imaginary[u] * choice.gainImaginary(c);
          double im = real[u] * choice.gainImaginary(c) + imaginary[u] * choice.gainReal(c);
          int row = row(kvHead, f);
          addProduct(re, im, component, 0, 1, otherKeys, row, row + config.headLength() / 2);
        }
        next += rotates ? 1 : 0;
      }
    }

    private int row(int head, int frequency) {
      return head * config.headLength() + frequency;
    }

    /** q' = q · conj(u) of the heads that read this KV head. */
    private void rotateQueries(int kvHead, int f, int pair, double real, double imaginary) {
      int first = kvHead * config.groupSize();
      for (int head = first; head < first + config.groupSize(); head++) {
        int to = head * 2 * keep + pair;
        addProduct(real, -imaginary, queryRows, row(head, f), rotaryQueries, to, to + keep);
      }
    }

    /** Adds (real + i · imaginary) times the pair at {@code row}, whose other half is d/2 on. */
    private void addProduct(
        double real, double imaginary, float[][] from, int row, float[][] to, int re, int im) {
      addProduct(real, imaginary, from, row, row + config.headLength() / 2, to, re, im);
    }

    private void addProduct(
        double real,
        double imaginary,
        float[][] from,
        int fromRe,
        int fromIm,
        float[][] to,
        int re,
        int im) {
      for (int i = 0; i < to[re].length; i++) {
        double x = from[fromRe][i];
        double y = from[fromIm][i];
        to[re][i] += (float) (real * x - imaginary * y);
        to[im][i] += (float) (real * y + imaginary * x);
      }
    }

    RotaryPart part() {
      int queryWidth = queryRows[0].length - 1;
      int keyWidth = keyRows[0].length - 1;
      return new RotaryPart(
          weights(rotaryQueries, queryWidth),
          bias(rotaryQueries, queryWidth),
          weights(rotaryKeys, keyWidth),
          bias(rotaryKeys, keyWidth),
          frequencies.stream().mapToDouble(Double::doubleValue).toArray(),
          weights(otherKeys, keyWidth));
    }

    private static Tensor weights(float[][] rows, int width) {
      float[] all = new float[rows.length * width];
      for (int i = 0; i < rows.length; i++) {
        System.arraycopy(rows[i], 0, all, i * width, width);
      }
      return AbstractTensor.create(all, rows.length, width);
    }

    private static Tensor bias(float[][] rows, int width) {
      float[] last = new float[rows.length];
      for (int i = 0; i < rows.length; i++) {
        last[i] = rows[i][width];
      }
      return AbstractTensor.create(last, last.length);
    }
  }
}
