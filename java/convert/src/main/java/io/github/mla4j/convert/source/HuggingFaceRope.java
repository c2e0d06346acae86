package io.github.mla4j.convert.source;

import java.util.Optional;

/**
 * Rotary settings of a {@code config.json}: {@code rope_parameters}, or the older {@code
 * rope_theta} with {@code rope_scaling}.
 */
final class HuggingFaceRope {
  private static final double DEFAULT_THETA = 10_000;

  private HuggingFaceRope() {}

  static RopeFrequencies parse(ConfigFile config, int headLength, int contextLength) {
    Optional<ConfigFile> current = config.object("rope_parameters");
    Optional<ConfigFile> scaling = current.isPresent() ? current : config.object("rope_scaling");
    double theta = config.positive("rope_theta", DEFAULT_THETA);
    if (scaling.isEmpty()) {
      return RopeFrequencies.of(headLength, theta, new RopeScaling.None());
    }
    ConfigFile rope = scaling.get();
    if (rope.object("full_attention").isPresent()) {
      rope = rope.object("full_attention").get();
    }
    return RopeFrequencies.of(
        headLength, rope.positive("rope_theta", theta), scaling(rope, config, contextLength));
  }

  private static RopeScaling scaling(ConfigFile rope, ConfigFile config, int contextLength) {
    String key = rope.has("rope_type") ? "rope_type" : "type";
    return switch (rope.text(key, "default")) {
      case "default" -> new RopeScaling.None();
      case "linear" -> new RopeScaling.Linear(rope.positive("factor"));
      case "llama3" -> llama3(rope);
      case "yarn" -> yarn(rope, config, contextLength);
      default -> throw rope.bad(key, "default, linear, llama3 or yarn");
    };
  }

  private static RopeScaling llama3(ConfigFile rope) {
    double low = rope.positive("low_freq_factor");
    double high = rope.positive("high_freq_factor");
    if (high <= low) {
      throw rope.bad("high_freq_factor", "a number above low_freq_factor = " + low);
    }
    return new RopeScaling.Llama3(
        rope.positive("factor"), low, high, rope.positive("original_max_position_embeddings"));
  }

  private static RopeScaling yarn(ConfigFile rope, ConfigFile config, int contextLength) {
    double original =
        rope.positive(
            "original_max_position_embeddings",
            config.positive("original_max_position_embeddings", contextLength));
    double factor =
        rope.has("factor") ? rope.positive("factor") : Math.max(1, contextLength / original);
    double attention =
        rope.has("mscale") && rope.has("mscale_all_dim")
            ? RopeScaling.Yarn.magnitude(factor, rope.positive("mscale"))
                / RopeScaling.Yarn.magnitude(factor, rope.positive("mscale_all_dim"))
            : RopeScaling.Yarn.defaultAttentionFactor(factor);
    return new RopeScaling.Yarn(
        factor,
        original,
        rope.positive("beta_fast", 32),
        rope.positive("beta_slow", 1),
        rope.positive("attention_factor", attention),
        rope.flag("truncate", true));
  }
}
