package io.github.mla4j.convert.calibration;

import io.github.mla4j.convert.linalg.FloatMatrix;
import io.github.mla4j.convert.source.ModelConfig;
import java.util.Comparator;
import java.util.stream.IntStream;

/**
 * How much each rotary pair contributes to a layer's scores, as MHA2MLA's 2-norm choice measures
 * it: for a KV head and a pair, Σ over its query heads of mean ‖q_pair‖ · mean ‖k_pair‖, means over
 * calibration tokens of the projections as they are before norms and rotation.
 */
public final class PairStrengths implements LayerObserver {
  private final ModelConfig config;
  private final double[][] queries;
  private final double[][] keys;

  public PairStrengths(ModelConfig config) {
    this.config = config;
    int pairs = config.headLength() / 2;
    this.queries = new double[config.blockCount()][config.headCount() * pairs];
    this.keys = new double[config.blockCount()][config.kvHeadCount() * pairs];
  }

  @Override
  public void projected(int layer, FloatMatrix q, FloatMatrix k) {
    accumulate(q, queries[layer]);
    accumulate(k, keys[layer]);
  }

  /** Sums instead of means: the number of tokens is the same for all. */
  private void accumulate(FloatMatrix x, double[] sums) {
    int d = config.headLength();
    int pairs = d / 2;
    float[] row = new float[x.columns()];
    for (int t = 0; t < x.rows(); t++) {
      x.get(t, row);
      for (int i = 0; i < sums.length; i++) {
        int first = i / pairs * d + i % pairs;
        sums[i] += Math.hypot(row[first], row[first + pairs]);
      }
    }
  }

  /** [kvHeads][d/2] of a layer: 0 for the strongest pair. */
  public int[][] ranks(int layer) {
    int pairs = config.headLength() / 2;
    int[][] ranks = new int[config.kvHeadCount()][pairs];
    for (int g = 0; g < ranks.length; g++) {
      double[] strengths = strengths(layer, g);
      int[] order =
          IntStream.range(0, pairs)
              .boxed()
              .sorted(Comparator.comparingDouble(pair -> -strengths[pair]))
              .mapToInt(Integer::intValue)
              .toArray();
      for (int rank = 0; rank < pairs; rank++) {
        ranks[g][order[rank]] = rank;
      }
    }
    return ranks;
  }

  private double[] strengths(int layer, int g) {
    int pairs = config.headLength() / 2;
    double[] strengths = new double[pairs];
    for (int head = g * config.groupSize(); head < (g + 1) * config.groupSize(); head++) {
      for (int pair = 0; pair < pairs; pair++) {
        strengths[pair] += queries[layer][head * pairs + pair] * keys[layer][g * pairs + pair];
      }
    }
    return strengths;
  }
}
