package io.github.mla4j.convert.source;

import io.github.mla4j.convert.RopeSelection;
import io.github.mla4j.convert.SvdMethod;
import java.util.Optional;

/**
 * The {@code mha2mla} object in the config of a checkpoint converted by the paper's code.
 *
 * @param uniformStart first pair of a uniform choice
 * @param rank latent dims per KV head
 * @param ranking where the ranks of a 2-norm choice were read from: the checkpoint lacks them
 */
public record PaperSettings(
    RopeSelection rope,
    int ropeDims,
    int uniformStart,
    SvdMethod svd,
    int rank,
    Optional<String> ranking) {

  private static final String KEY = "mha2mla";

  /** Empty for a model that was not converted. */
  static Optional<PaperSettings> parse(ConfigFile config) {
    Optional<ConfigFile> object = config.object(KEY);
    if (object.isEmpty() || object.get().flag("is_baseline", false)) {
      return Optional.empty();
    }
    ConfigFile settings = object.get();
    if (settings.flag("is_gqa2mha2mla", false)) {
      throw settings.bad("is_gqa2mha2mla", "false: keys expanded to all heads are not supported");
    }
    return Optional.of(
        new PaperSettings(
            ropeSelection(settings),
            settings.count("rope_dim_for_mla", 0),
            settings.count("uniform_start_point", 0, 0),
            svdMethod(settings),
            settings.count("low_rank", 0),
            settings.has("qk_tensor_path")
                ? Optional.of(settings.text("qk_tensor_path"))
                : Optional.empty()));
  }

  private static RopeSelection ropeSelection(ConfigFile settings) {
    try {
      return RopeSelection.of(settings.text("partial_rope_version"));
    } catch (IllegalArgumentException e) {
      throw settings.bad("partial_rope_version", "high, low, uniform or 2-norm");
    }
  }

  private static SvdMethod svdMethod(ConfigFile settings) {
    try {
      return SvdMethod.of(settings.text("svd_init_method"));
    } catch (IllegalArgumentException e) {
      throw settings.bad("svd_init_method", "joint, split, only_key, only_value or none");
    }
  }
}
