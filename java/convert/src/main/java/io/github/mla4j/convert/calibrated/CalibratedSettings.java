package io.github.mla4j.convert.calibrated;

import io.github.mla4j.convert.LatentRotation;
import io.github.mla4j.convert.recipe.RecipeKeys;
import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.gguf.GgufWriter;
import java.util.OptionalInt;

/**
 * The choices of recipe {@code calibrated}.
 *
 * @param reduction share of cached elements removed
 * @param ropeDims R of every group, where it is not chosen layer by layer
 * @param rank C, where it is not what the reduction leaves
 * @param spread whether layers share the budget by what each of them needs
 * @param refineSteps of fitting a layer
 * @param rotation coordinates of the latents
 * @param seed of what is sampled
 */
public record CalibratedSettings(
    double reduction,
    OptionalInt ropeDims,
    OptionalInt rank,
    boolean spread,
    int refineSteps,
    LatentRotation rotation,
    long seed)
    implements RecipeKeys {
  // Above it one decomposition takes tens of seconds.
  private static final int WIDE = 2048;

  /**
   * Checks the choices against a model's sizes.
   *
   * @throws IllegalArgumentException naming the option, its value and what is possible
   */
  public void check(ModelConfig config) {
    if (!(reduction >= 0 && reduction < 1)) {
      throw new IllegalArgumentException(
          "reduction %s %%: expected at least 0 and below 100".formatted(100 * reduction));
    }
    if (refineSteps < 0) {
      throw new IllegalArgumentException(
          "refine %d steps: expected at least 0".formatted(refineSteps));
    }
    int groups = ComponentBlock.of(config).size();
    int most = config.kvRows() / groups;
    if (ropeDims.isPresent()
        && (ropeDims.getAsInt() < 0
            || ropeDims.getAsInt() > most
            || ropeDims.getAsInt() % 2 != 0)) {
      throw new IllegalArgumentException(
          "rope dims %d: expected an even number from 0 to %d"
              .formatted(ropeDims.getAsInt(), most));
    }
    if (rank.isPresent() && (rank.getAsInt() < 1 || rank.getAsInt() > maxRank(config))) {
      throw new IllegalArgumentException(
          "rank %d: expected 1 to %d".formatted(rank.getAsInt(), maxRank(config)));
    }
    if (rank.isEmpty() && elements(config) - groups * ropeDims.orElse(0) < 1) {
      throw new IllegalArgumentException(
          "reduction %s %% leaves %d elements a token and layer: too few beside %d rotary dims"
              .formatted(100 * reduction, elements(config), groups * ropeDims.orElse(0)));
    }
  }

  /** The rank at which factoring loses nothing. */
  static int maxRank(ModelConfig config) {
    return Math.min(2 * config.kvRows(), LatentInput.length(config));
  }

  /**
   * Whether a model is so wide that the usual rotary share and balance are taken for every layer,
   * the budget is spread evenly, and layers are fitted one by one.
   */
  boolean wide(ModelConfig config) {
    return config.embeddingLength() > WIDE;
  }

  /** Whether the budget is spread over the layers by what each of them needs. */
  public boolean spreads(ModelConfig config) {
    return spread && rank.isEmpty() && reduction > 0 && !wide(config) && config.blockCount() > 1;
  }

  /** Elements that all layers together may cache a token. */
  int totalElements(ModelConfig config) {
    return (int) Math.floor((1 - reduction) * 2 * config.kvRows() * config.blockCount() + 1e-6);
  }

  /** Elements that a layer may cache a token where the budget is spread evenly. */
  int elements(ModelConfig config) {
    return (int) Math.floor((1 - reduction) * 2 * config.kvRows() + 1e-6);
  }

  @Override
  public void write(GgufWriter writer, String prefix) {
    writer.set(prefix + "method", "calibrated");
    writer.set(prefix + "refine_steps", refineSteps);
    writer.set(prefix + "latent_rotation", rotation.toString());
    writer.set(prefix + "seed", Long.toString(seed));
  }
}
