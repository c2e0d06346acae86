package io.github.mla4j.convert.calibrated;

import io.github.mla4j.convert.source.ModelConfig;
import java.util.List;
import java.util.stream.DoubleStream;

/**
 * How a layer's budget is shared.
 *
 * @param ropePairs R/2, components kept of each block
 * @param rank C
 */
record LayerSizes(int ropePairs, int rank) {
  // The best shares lie between a fifth and a third, except where nearly all of the cache is left:
  // then every rotation and the values are.
  private static final double[] ROTARY_SHARES = {0.17, 0.23, 0.3, 0.37, 0.5};

  /** What is taken where trying one costs tens of seconds. */
  private static final double[] USUAL_SHARE = {0.23};

  /**
   * What is tried for a layer: one choice where the settings fix it, else several shares.
   *
   * @param budget elements that the layer may cache
   * @param several whether several shares are tried, not only the usual one
   */
  static List<LayerSizes> candidates(
      ModelConfig config, CalibratedSettings settings, int budget, int blocks, boolean several) {
    int full = CalibratedSettings.maxRank(config);
    int mostPairs = config.kvRows() / blocks / 2;
    if (settings.ropeDims().isPresent()) {
      int pairs = settings.ropeDims().getAsInt() / 2;
      int left = budget - 2 * pairs * blocks;
      return List.of(new LayerSizes(pairs, settings.rank().orElse(Math.min(left, full))));
    }
    if (settings.rank().isPresent()) {
      int left = Math.max(0, budget - settings.rank().getAsInt());
      return List.of(
          new LayerSizes(Math.min(mostPairs, left / (2 * blocks)), settings.rank().getAsInt()));
    }
    return DoubleStream.of(several ? ROTARY_SHARES : USUAL_SHARE)
        .map(share -> Math.max(share, 1 - (double) full / budget))
        .mapToInt(share -> Math.min(mostPairs, (int) Math.round(share * budget / (2 * blocks))))
        .distinct()
        .mapToObj(pairs -> new LayerSizes(pairs, Math.min(full, budget - 2 * pairs * blocks)))
        .filter(sizes -> sizes.rank >= 1)
        .toList();
  }
}
