package io.github.mla4j.convert.source;

import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Tensor names of Hugging Face's decoders and GGUF's names for the same. */
final class HuggingFaceNames {
  private static final Pattern GGUF_LAYER = Pattern.compile("blk\\.(\\d+)\\.(.+)\\.(weight|bias)");

  private static final Pattern LAYER_TENSOR =
      Pattern.compile("model\\.layers\\.(\\d+)\\.(.+)\\.(weight|bias)");

  private static final Map<String, String> MODEL =
      Map.of(
          "token_embd.weight", "model.embed_tokens.weight",
          "output_norm.weight", "model.norm.weight",
          "output.weight", "lm_head.weight");

  private static final Map<String, String> LAYER =
      Map.ofEntries(
          Map.entry("attn_norm", "input_layernorm"),
          Map.entry("attn_q", "self_attn.q_proj"),
          Map.entry("attn_k", "self_attn.k_proj"),
          Map.entry("attn_v", "self_attn.v_proj"),
          Map.entry("attn_q_norm", "self_attn.q_norm"),
          Map.entry("attn_k_norm", "self_attn.k_norm"),
          Map.entry("attn_output", "self_attn.o_proj"),
          Map.entry("ffn_norm", "post_attention_layernorm"),
          Map.entry("ffn_gate", "mlp.gate_proj"),
          Map.entry("ffn_up", "mlp.up_proj"),
          Map.entry("ffn_down", "mlp.down_proj"));

  private HuggingFaceNames() {}

  /** Hugging Face's name of the tensor that GGUF calls {@code name}. */
  static Optional<String> ofGguf(String name) {
    if (MODEL.containsKey(name)) {
      return Optional.of(MODEL.get(name));
    }
    Matcher matcher = GGUF_LAYER.matcher(name);
    if (!matcher.matches() || !LAYER.containsKey(matcher.group(2))) {
      return Optional.empty();
    }
    return Optional.of(
        inLayer(Integer.parseInt(matcher.group(1)), LAYER.get(matcher.group(2)))
            + "."
            + matcher.group(3));
  }

  /** GGUF's name of the tensor that Hugging Face calls {@code name}. */
  static Optional<String> toGguf(String name) {
    Matcher matcher = LAYER_TENSOR.matcher(name);
    if (!matcher.matches()) {
      return MODEL.entrySet().stream()
          .filter(entry -> entry.getValue().equals(name))
          .map(Map.Entry::getKey)
          .findFirst();
    }
    return LAYER.entrySet().stream()
        .filter(entry -> entry.getValue().equals(matcher.group(2)))
        .map(entry -> "blk." + matcher.group(1) + "." + entry.getKey() + "." + matcher.group(3))
        .findFirst();
  }

  /** The full name of a module of a layer. */
  static String inLayer(int layer, String module) {
    return "model.layers." + layer + "." + module;
  }
}
