package io.github.mla4j.convert.source;

import io.github.mla4j.BadFileException;
import java.util.Optional;

/** Names and shapes of a plain decoder's tensors, and the check that a source agrees with them. */
public final class DecoderTensors {
  public static final String EMBEDDING = "token_embd.weight";
  public static final String OUTPUT_NORM = "output_norm.weight";
  public static final String OUTPUT = "output.weight";

  private final TensorLookup source;
  private final ModelConfig config;

  private DecoderTensors(TensorLookup source, ModelConfig config) {
    this.source = source;
    this.config = config;
  }

  /** A tensor's name in a layer. */
  public static String inLayer(int layer, String suffix) {
    return "blk." + layer + "." + suffix;
  }

  /**
   * Checks all tensors of a plain model.
   *
   * @throws BadFileException naming the first tensor that is missing or misshapen
   */
  static void check(ModelSource source) {
    DecoderTensors tensors = new DecoderTensors(source, source.config());
    tensors.checkBesidesAttention();
    for (int layer = 0; layer < source.config().blockCount(); layer++) {
      tensors.checkAttention(layer);
    }
  }

  /**
   * Checks the tensors that every model has, however its attention is stored.
   *
   * @throws BadFileException naming the first tensor that is missing or misshapen
   */
  static void checkBesidesAttention(TensorLookup source, ModelConfig config) {
    new DecoderTensors(source, config).checkBesidesAttention();
  }

  private void checkBesidesAttention() {
    int d = config.embeddingLength();
    matrix(EMBEDDING, config.vocabularySize(), d);
    vector(OUTPUT_NORM, d, true);
    if (!config.tiedEmbeddings()) {
      matrix(OUTPUT, config.vocabularySize(), d);
    }
    for (int layer = 0; layer < config.blockCount(); layer++) {
      vector(inLayer(layer, "attn_norm.weight"), d, true);
      vector(inLayer(layer, "ffn_norm.weight"), d, true);
      matrix(inLayer(layer, "ffn_gate.weight"), config.feedForwardLength(), d);
      matrix(inLayer(layer, "ffn_up.weight"), config.feedForwardLength(), d);
      matrix(inLayer(layer, "ffn_down.weight"), d, config.feedForwardLength());
    }
  }

  private void checkAttention(int layer) {
    int d = config.embeddingLength();
    matrix(inLayer(layer, "attn_q.weight"), config.queryRows(), d);
    matrix(inLayer(layer, "attn_k.weight"), config.kvRows(), d);
    matrix(inLayer(layer, "attn_v.weight"), config.kvRows(), d);
    matrix(inLayer(layer, "attn_output.weight"), d, config.queryRows());
    vector(inLayer(layer, "attn_q.bias"), config.queryRows(), false);
    vector(inLayer(layer, "attn_k.bias"), config.kvRows(), false);
    vector(inLayer(layer, "attn_v.bias"), config.kvRows(), false);
    vector(inLayer(layer, "attn_output.bias"), d, false);
    if (config.family() == ModelFamily.QWEN3) {
      vector(inLayer(layer, "attn_q_norm.weight"), config.headLength(), true);
      vector(inLayer(layer, "attn_k_norm.weight"), config.headLength(), true);
    }
  }

  private void matrix(String name, int rows, int columns) {
    expect(source.tensor(name), rows, columns);
  }

  private void vector(String name, int length, boolean required) {
    Optional<WeightTensor> tensor = source.find(name);
    if (required || tensor.isPresent()) {
      expect(source.tensor(name), 1, length);
    }
  }

  private void expect(WeightTensor tensor, int rows, int columns) {
    expect(source.name(), tensor, rows, columns);
  }

  /**
   * @throws BadFileException if the tensor is not a matrix [rows, columns]
   */
  static void expect(String file, WeightTensor tensor, int rows, int columns) {
    if (tensor.rows() != rows || tensor.columns() != columns) {
      throw new BadFileException(
          "%s: tensor '%s' is [%d, %d]: expected [%d, %d]"
              .formatted(file, tensor.name(), tensor.rows(), tensor.columns(), rows, columns));
    }
  }
}
