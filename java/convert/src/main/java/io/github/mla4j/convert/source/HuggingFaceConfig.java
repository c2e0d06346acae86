package io.github.mla4j.convert.source;

import com.fasterxml.jackson.databind.JsonNode;
import io.github.mla4j.BadFileException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.OptionalInt;

/** Reads {@code config.json} of a Hugging Face directory. */
final class HuggingFaceConfig {
  static final String NAME = "config.json";

  private final ConfigFile file;
  private final ModelFamily family;
  private final String modelType;

  private HuggingFaceConfig(ConfigFile file) {
    this.file = file;
    this.modelType = file.text("model_type");
    this.family =
        switch (modelType) {
          case "llama", "mistral" -> ModelFamily.LLAMA;
          case "qwen2" -> ModelFamily.QWEN2;
          case "qwen3" -> ModelFamily.QWEN3;
          default -> throw file.bad("model_type", "llama, mistral, qwen2 or qwen3");
        };
  }

  /** The whole file, for readers of its other objects. */
  static ConfigFile open(Path folder) throws IOException {
    Path path = folder.resolve(NAME);
    if (!Files.exists(path)) {
      throw new BadFileException(
          "%s: not a Hugging Face directory: %s is missing".formatted(folder, NAME));
    }
    return new ConfigFile(path.toString(), JsonFile.read(path));
  }

  static ModelConfig parse(ConfigFile file) {
    return new HuggingFaceConfig(file).parse();
  }

  private ModelConfig parse() {
    refuse("hidden_act", "silu");
    if (file.flag("mlp_bias", false)) {
      throw file.bad("mlp_bias", "false: biases of the MLP are not supported");
    }
    if (file.positive("partial_rotary_factor", 1) != 1) {
      throw file.bad("partial_rotary_factor", "1");
    }
    int embedding = file.count("hidden_size", 1);
    int heads = file.count("num_attention_heads", 1);
    int kvHeads = file.count("num_key_value_heads", 1, heads);
    if (heads % kvHeads != 0) {
      throw file.bad("num_key_value_heads", "a divisor of num_attention_heads = " + heads);
    }
    int context = file.count("max_position_embeddings", 1);
    int headLength = headLength(embedding, heads);
    return new ModelConfig(
        family,
        file.count("num_hidden_layers", 1),
        context,
        embedding,
        file.count("intermediate_size", 1),
        file.count("vocab_size", 1),
        heads,
        kvHeads,
        headLength,
        file.positive("rms_norm_eps", 1e-6),
        slidingWindow(context),
        HuggingFaceRope.parse(file, headLength, context),
        file.flag("tie_word_embeddings", false));
  }

  private void refuse(String key, String only) {
    if (!file.text(key, only).equals(only)) {
      throw file.bad(key, "'" + only + "'");
    }
  }

  private int headLength(int embedding, int heads) {
    if (!file.has("head_dim")) {
      if (family == ModelFamily.QWEN3) {
        return 128; // the family's default, whatever the embedding
      }
      if (embedding % heads != 0) {
        throw file.bad("hidden_size", "a multiple of num_attention_heads = " + heads);
      }
    }
    int length = file.count("head_dim", 1, embedding / heads);
    if (length % 2 != 0) {
      throw file.bad("head_dim", "an even number, got " + length);
    }
    return length;
  }

  /** One window for all layers, or none; a window as long as the context limits nothing. */
  private OptionalInt slidingWindow(int context) {
    boolean used =
        switch (modelType) {
          case "mistral" -> file.has("sliding_window");
          case "qwen2", "qwen3" ->
              file.flag("use_sliding_window", false) && file.has("sliding_window");
          default -> false;
        };
    if (!used) {
      return OptionalInt.empty();
    }
    int window = file.count("sliding_window", 1);
    int layers = file.count("num_hidden_layers", 1);
    int sliding = slidingLayers(layers);
    if (sliding == 0 || window >= context) {
      return OptionalInt.empty();
    }
    if (sliding < layers) {
      throw file.bad(
          "%d of %d layers have a sliding window: expected all or none".formatted(sliding, layers));
    }
    return OptionalInt.of(window);
  }

  private int slidingLayers(int layers) {
    if (file.has("layer_types")) {
      int sliding = 0;
      for (JsonNode type : file.array("layer_types")) {
        sliding += type.asText().equals("sliding_attention") ? 1 : 0;
      }
      return sliding;
    }
    if (modelType.equals("mistral")) {
      return layers;
    }
    return Math.max(0, layers - file.count("max_window_layers", 0, 28));
  }
}
