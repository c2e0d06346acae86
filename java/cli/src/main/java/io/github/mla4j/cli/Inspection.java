package io.github.mla4j.cli;

import io.github.mla4j.CacheOptions;
import io.github.mla4j.CacheType;
import io.github.mla4j.MlaException;
import io.github.mla4j.Model;
import io.github.mla4j.ModelInfo;
import io.github.mla4j.Status;
import io.github.mla4j.gguf.Gguf;
import io.github.mla4j.gguf.GgufKey;
import io.github.mla4j.gguf.GgufTensor;
import io.github.mla4j.gguf.ValueType;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * What {@code mla inspect} tells about a file.
 *
 * @param architecture of the file; a converted one has its source's under {@code baseArchitecture}
 * @param model empty where the file holds no model that can run, with the reason in {@code
 *     notRunnable}
 * @param cacheBytesPerToken of all layers, for each cache type
 * @param ranks what each layer caches
 * @param recipe the keys under {@code mha2mla.conversion.}, without that prefix
 */
record Inspection(
    Path file,
    long bytes,
    String architecture,
    Optional<String> baseArchitecture,
    Optional<ModelInfo> model,
    Optional<String> notRunnable,
    Map<String, Double> cacheBytesPerToken,
    List<LayerRanks> ranks,
    Map<String, String> recipe,
    List<GgufTensor> tensors) {
  private static final String CONVERSION = "mha2mla.conversion.";

  /**
   * The elements that a layer caches per token.
   *
   * @param ropeGroups groups of rotary keys
   * @param ropeDims dims of each group
   * @param latent length of the latent; for plain attention its values
   */
  record LayerRanks(long ropeGroups, long ropeDims, long latent) {
    long elements() {
      return ropeGroups * ropeDims + latent;
    }
  }

  static Inspection of(Path file) throws IOException {
    try (Gguf gguf = Gguf.open(file)) {
      Optional<ModelInfo> model = Optional.empty();
      Optional<String> notRunnable = Optional.empty();
      Map<String, Double> cacheBytes = new LinkedHashMap<>();
      if (gguf.tensors().isEmpty()) {
        notRunnable = Optional.of("it holds no tensors");
      } else {
        try (Model loaded = Model.load(gguf)) {
          model = Optional.of(loaded.info());
          for (CacheType type : CacheType.values()) {
            cacheBytes.put(type.label(), loaded.cacheBytesPerToken(CacheOptions.of(type)));
          }
        } catch (MlaException e) {
          if (e.status() != Status.UNSUPPORTED) {
            throw e;
          }
          notRunnable = Optional.of(e.getMessage());
        }
      }
      return new Inspection(
          file,
          Files.size(file),
          gguf.string("general.architecture").orElse("none"),
          gguf.string("mha2mla.base_architecture"),
          model,
          notRunnable,
          cacheBytes,
          model.map(info -> ranks(gguf, info)).orElse(List.of()),
          recipe(gguf),
          gguf.tensors());
    }
  }

  /** What each layer of a model that can run caches. */
  static List<LayerRanks> ranks(Gguf gguf, ModelInfo model) {
    List<LayerRanks> ranks = new ArrayList<>();
    Optional<long[]> latent = gguf.integers("mha2mla.attention.latent_lengths");
    if (latent.isEmpty()) {
      LayerRanks plain =
          new LayerRanks(
              model.kvHeads(), model.headLength(), (long) model.kvHeads() * model.headLength());
      for (int layer = 0; layer < model.layers(); layer++) {
        ranks.add(plain);
      }
      return ranks;
    }
    long[] groups = gguf.integers("mha2mla.attention.rope_group_counts").orElseThrow();
    long[] dims = gguf.integers("mha2mla.rope.dimension_counts").orElseThrow();
    for (int layer = 0; layer < model.layers(); layer++) {
      ranks.add(new LayerRanks(groups[layer], dims[layer], latent.get()[layer]));
    }
    return ranks;
  }

  private static Map<String, String> recipe(Gguf gguf) {
    Map<String, String> recipe = new LinkedHashMap<>();
    for (GgufKey key : gguf.keys()) {
      if (key.name().startsWith(CONVERSION) && !key.isArray()) {
        recipe.put(key.name().substring(CONVERSION.length()), text(gguf, key));
      }
    }
    return recipe;
  }

  private static String text(Gguf gguf, GgufKey key) {
    if (key.type() == ValueType.STRING) {
      return gguf.string(key.name()).orElseThrow();
    }
    return key.type().isReal()
        ? String.valueOf(gguf.real(key.name()).orElseThrow())
        : String.valueOf(gguf.integer(key.name()).orElseThrow());
  }
}
