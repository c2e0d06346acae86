package io.github.mla4j.convert.recipe;

import io.github.mla4j.convert.RopeSelection;
import io.github.mla4j.convert.SvdMethod;
import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.gguf.GgufWriter;

/**
 * The choices of recipe {@code mha2mla}.
 *
 * @param rope which rotary pairs are kept
 * @param ropeDims R, rotary dims kept a head
 * @param svd how the rest is factored
 * @param rank latent dims per KV head; 0 where nothing is factored, whatever is given
 */
public record Mha2MlaSettings(RopeSelection rope, int ropeDims, SvdMethod svd, int rank)
    implements RecipeKeys {

  public Mha2MlaSettings {
    rank = svd == SvdMethod.NONE ? 0 : rank;
  }

  @Override
  public void write(GgufWriter writer, String prefix) {
    writer.set(prefix + "method", "mha2mla");
    writer.set(prefix + "rope", rope.label());
    writer.set(prefix + "rope_dims", ropeDims);
    writer.set(prefix + "svd", svd.label());
    writer.set(prefix + "rank", rank);
  }

  @Override
  public String toString() {
    return "rope %s, %d rotary dims, svd %s, rank %d".formatted(rope, ropeDims, svd, rank);
  }

  /**
   * Checks the choices against a model's sizes.
   *
   * @throws IllegalArgumentException naming the option, its value and what is possible
   */
  public void check(ModelConfig config) {
    int d = config.headLength();
    if (ropeDims < 0 || ropeDims > d || ropeDims % 2 != 0) {
      throw new IllegalArgumentException(
          "rope dims %d: expected an even number from 0 to the head length %d"
              .formatted(ropeDims, d));
    }
    if (rope == RopeSelection.UNIFORM && ropeDims > 0 && d % ropeDims != 0) {
      throw new IllegalArgumentException(
          "rope dims %d: a uniform choice takes a divisor of the head length %d"
              .formatted(ropeDims, d));
    }
    if (svd != SvdMethod.NONE && (rank < 1 || rank > maxRank(config))) {
      throw new IllegalArgumentException(
          "rank %d per KV head: expected 1 to %d for %s with %d of %d dims rotary"
              .formatted(rank, maxRank(config), svd, ropeDims, d));
    }
  }

  /** The least rank at which factoring loses nothing. */
  public int maxRank(ModelConfig config) {
    int keys = keyRank(config);
    int values = valueRank(config);
    int full =
        switch (svd) {
          case JOINT ->
              Math.min(
                  config.kvHeadCount() * (2 * config.headLength() - ropeDims),
                  config.embeddingLength());
          case SPLIT -> Math.max(keys, values);
          case ONLY_KEY -> keys;
          case ONLY_VALUE -> values;
          case NONE -> 0;
        };
    return (full + config.kvHeadCount() - 1) / config.kvHeadCount();
  }

  private int keyRank(ModelConfig config) {
    return Math.min(
        config.kvHeadCount() * (config.headLength() - ropeDims), config.embeddingLength());
  }

  private int valueRank(ModelConfig config) {
    return Math.min(config.kvRows(), config.embeddingLength());
  }
}
