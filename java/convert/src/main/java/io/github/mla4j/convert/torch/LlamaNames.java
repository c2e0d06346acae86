package io.github.mla4j.convert.torch;

/** The names that Hugging Face gives to the tensors of a Llama model. */
public final class LlamaNames {
  public static final String EMBEDDING = "model.embed_tokens.weight";
  public static final String FINAL_NORM = "model.norm.weight";

  private LlamaNames() {}

  public static String attentionNorm(int layer) {
    return layer(layer) + "input_layernorm.weight";
  }

  public static String query(int layer) {
    return layer(layer) + "self_attn.q_proj.weight";
  }

  public static String key(int layer) {
    return layer(layer) + "self_attn.k_proj.weight";
  }

  public static String value(int layer) {
    return layer(layer) + "self_attn.v_proj.weight";
  }

  public static String output(int layer) {
    return layer(layer) + "self_attn.o_proj.weight";
  }

  public static String feedForwardNorm(int layer) {
    return layer(layer) + "post_attention_layernorm.weight";
  }

  public static String gate(int layer) {
    return layer(layer) + "mlp.gate_proj.weight";
  }

  public static String up(int layer) {
    return layer(layer) + "mlp.up_proj.weight";
  }

  public static String down(int layer) {
    return layer(layer) + "mlp.down_proj.weight";
  }

  private static String layer(int layer) {
    return "model.layers." + layer + ".";
  }
}
