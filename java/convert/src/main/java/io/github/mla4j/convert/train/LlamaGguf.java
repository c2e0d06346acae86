package io.github.mla4j.convert.train;

import io.github.mla4j.convert.torch.LlamaModule;
import io.github.mla4j.convert.torch.LlamaNames;
import io.github.mla4j.convert.torch.LlamaShape;
import io.github.mla4j.convert.torch.TensorValues;
import io.github.mla4j.gguf.GgufWriter;
import io.github.mla4j.gguf.TensorType;
import java.nio.file.Path;
import java.util.Arrays;
import org.bytedeco.pytorch.Tensor;

/**
 * Writes a Llama model and its vocabulary as llama.cpp stores them: matrices as Q8_0, norms as F32,
 * the rows of queries and keys in the order of adjacent rotary pairs.
 */
final class LlamaGguf {
  /** llama.cpp's number for "mostly Q8_0" in general.file_type. */
  private static final int FILE_TYPE_Q8_0 = 7;

  private static final int QUANTIZATION_VERSION = 2;
  private static final int NORMAL_TOKEN = 1;
  private static final int CONTROL_TOKEN = 3;

  private final GgufWriter writer;
  private final LlamaModule model;
  private final LlamaShape shape;

  private LlamaGguf(GgufWriter writer, LlamaModule model) {
    this.writer = writer;
    this.model = model;
    this.shape = model.shape();
  }

  /** Writes {@code file} in one piece: it is there whole or not at all. */
  static void write(Path file, LlamaModule model, BytePairVocabulary vocabulary, ModelCard card) {
    try (GgufWriter writer = GgufWriter.create(file)) {
      LlamaGguf gguf = new LlamaGguf(writer, model);
      gguf.writeGeneral(card);
      gguf.writeShape();
      gguf.writeVocabulary(vocabulary);
      gguf.writeTensors();
      writer.finish();
    }
  }

  private void writeGeneral(ModelCard card) {
    writer
        .set("general.architecture", "llama")
        .set("general.type", "model")
        .set("general.name", card.name())
        .set("general.description", card.description())
        .set("general.license", card.license())
        .set("general.datasets", card.datasets())
        .set("general.file_type", FILE_TYPE_Q8_0)
        .set("general.quantization_version", QUANTIZATION_VERSION);
  }

  private void writeShape() {
    writer
        .set("llama.vocab_size", shape.vocabulary())
        .set("llama.context_length", shape.context())
        .set("llama.embedding_length", shape.hidden())
        .set("llama.block_count", shape.layers())
        .set("llama.feed_forward_length", shape.feedForward())
        .set("llama.attention.head_count", shape.heads())
        .set("llama.attention.head_count_kv", shape.kvHeads())
        .set("llama.attention.key_length", shape.headDim())
        .set("llama.attention.value_length", shape.headDim())
        .set("llama.attention.layer_norm_rms_epsilon", (float) shape.normEpsilon())
        .set("llama.rope.dimension_count", shape.headDim())
        .set("llama.rope.freq_base", (float) shape.ropeTheta());
  }

  private void writeVocabulary(BytePairVocabulary vocabulary) {
    int[] types = new int[vocabulary.size()];
    Arrays.fill(types, NORMAL_TOKEN);
    types[vocabulary.endOfText()] = CONTROL_TOKEN;
    writer
        .set("tokenizer.ggml.model", "gpt2")
        .set("tokenizer.ggml.pre", "gpt-2")
        .set("tokenizer.ggml.tokens", vocabulary.tokens())
        .set("tokenizer.ggml.token_type", types)
        .set("tokenizer.ggml.merges", vocabulary.mergeLines())
        .set("tokenizer.ggml.bos_token_id", vocabulary.endOfText())
        .set("tokenizer.ggml.eos_token_id", vocabulary.endOfText())
        // Few documents, so the model hardly knows their beginnings.
        .set("tokenizer.ggml.add_bos_token", false);
  }

  private void writeTensors() {
    matrix("token_embd.weight", LlamaNames.EMBEDDING);
    for (int layer = 0; layer < shape.layers(); layer++) {
      String block = "blk." + layer + ".";
      vector(block + "attn_norm.weight", LlamaNames.attentionNorm(layer));
      rotaryMatrix(block + "attn_q.weight", LlamaNames.query(layer));
      rotaryMatrix(block + "attn_k.weight", LlamaNames.key(layer));
      matrix(block + "attn_v.weight", LlamaNames.value(layer));
      matrix(block + "attn_output.weight", LlamaNames.output(layer));
      vector(block + "ffn_norm.weight", LlamaNames.feedForwardNorm(layer));
      matrix(block + "ffn_gate.weight", LlamaNames.gate(layer));
      matrix(block + "ffn_up.weight", LlamaNames.up(layer));
      matrix(block + "ffn_down.weight", LlamaNames.down(layer));
    }
    vector("output_norm.weight", LlamaNames.FINAL_NORM);
  }

  private void vector(String name, String source) {
    Tensor tensor = tensor(source);
    writer.tensor(name, TensorType.F32, TensorValues.floats(tensor), tensor.size(0));
  }

  private void matrix(String name, String source) {
    Tensor tensor = tensor(source);
    write(name, TensorValues.floats(tensor), tensor);
  }

  private void rotaryMatrix(String name, String source) {
    Tensor tensor = tensor(source);
    write(name, pairRows(TensorValues.floats(tensor), shape.headDim()), tensor);
  }

  private void write(String name, float[] values, Tensor tensor) {
    writer.tensor(name, TensorType.Q8_0, values, tensor.size(1), tensor.size(0));
  }

  private Tensor tensor(String source) {
    return model.parameters().all().get(source);
  }

  /**
   * Reorders the rows of every head so that the two that turn together, {@code i} and {@code i +
   * d/2}, come one after the other.
   *
   * @param values [heads * headDim, hidden]
   */
  private float[] pairRows(float[] values, int headDim) {
    int hidden = shape.hidden();
    int half = headDim / 2;
    float[] out = new float[values.length];
    for (int row = 0; row < values.length / hidden; row++) {
      int inHead = row % headDim;
      int paired = row - inHead + 2 * (inHead % half) + inHead / half;
      System.arraycopy(values, row * hidden, out, paired * hidden, hidden);
    }
    return out;
  }
}
