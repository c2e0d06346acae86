package io.github.mla4j.convert;

import io.github.mla4j.gguf.GgufWriter;
import io.github.mla4j.gguf.TensorType;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;

/**
 * Writes a Llama of any size with random Q4_0 weights, to measure what sizes cost where the true
 * models cannot be had. Nothing of it is worth reading, but its tokenizer, its text and its layers
 * work. Memory holds a few rows.
 *
 * @param embedding D
 * @param layers blocks
 * @param heads query heads, each of D / heads dims
 * @param kvHeads key/value heads
 * @param feedForward width of the MLP
 * @param vocabulary tokens, at least 259
 * @param context tokens
 */
record RandomLlama(
    int embedding,
    int layers,
    int heads,
    int kvHeads,
    int feedForward,
    int vocabulary,
    int context) {
  static final RandomLlama LLAMA_2_7B = new RandomLlama(4096, 32, 32, 32, 11008, 32000, 4096);

  private static final TensorType TYPE = TensorType.Q4_0;
  private static final int SLICE_BYTES = 1 << 20;

  // A block's integers are drawn from -7 to 7, whose root mean square this is.
  private static final double INTEGER_RMS = Math.sqrt(56.0 / 3);

  // llama.cpp's token types, and the bytes that follow <unk>, <s> and </s>.
  private static final int NORMAL = 1;
  private static final int UNKNOWN = 2;
  private static final int CONTROL = 3;
  private static final int BYTE = 6;
  private static final int SPECIAL_TOKENS = 3;
  private static final int BYTES = 256;

  /**
   * Writes {@code LLAMA_2_7B} to the file named, 3.8 GB, or its first layers, 114 MB each: what a
   * layer costs does not depend on how many there are.
   *
   * @param arguments the file, and how many layers or nothing
   */
  public static void main(String[] arguments) {
    if (arguments.length < 1 || arguments.length > 2) {
      throw new IllegalArgumentException("expected FILE.gguf [LAYERS]");
    }
    int layers = arguments.length == 2 ? Integer.parseInt(arguments[1]) : LLAMA_2_7B.layers;
    LLAMA_2_7B.withLayers(layers).write(Path.of(arguments[0]), 1);
  }

  private RandomLlama withLayers(int count) {
    return new RandomLlama(embedding, count, heads, kvHeads, feedForward, vocabulary, context);
  }

  /** Writes the model; the same seed gives the same bytes. */
  void write(Path file, long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    try (GgufWriter writer = GgufWriter.create(file)) {
      sizes(writer);
      vocabulary(writer);
      matrix(writer, random, "token_embd.weight", vocabulary, embedding);
      for (int layer = 0; layer < layers; layer++) {
        layer(writer, random, "blk." + layer + ".");
      }
      norm(writer, "output_norm.weight");
      matrix(writer, random, "output.weight", vocabulary, embedding);
      writer.finish();
    }
  }

  private void sizes(GgufWriter writer) {
    writer
        .set("general.architecture", "llama")
        .set("general.name", "random llama")
        .set("llama.vocab_size", vocabulary)
        .set("llama.context_length", context)
        .set("llama.embedding_length", embedding)
        .set("llama.block_count", layers)
        .set("llama.feed_forward_length", feedForward)
        .set("llama.attention.head_count", heads)
        .set("llama.attention.head_count_kv", kvHeads)
        .set("llama.attention.layer_norm_rms_epsilon", 1e-5f)
        .set("llama.rope.dimension_count", embedding / heads)
        .set("llama.rope.freq_base", 10_000f);
  }

  /** Bytes and two letters at a time, so that any text has its tokens. */
  private void vocabulary(GgufWriter writer) {
    List<String> tokens = new ArrayList<>(List.of("<unk>", "<s>", "</s>"));
    for (int i = 0; i < BYTES; i++) {
      tokens.add("<0x%02X>".formatted(i));
    }
    while (tokens.size() < vocabulary) {
      tokens.add(piece(tokens.size() - SPECIAL_TOKENS - BYTES));
    }
    int[] types = new int[vocabulary];
    Arrays.fill(types, NORMAL);
    types[0] = UNKNOWN;
    Arrays.fill(types, 1, SPECIAL_TOKENS, CONTROL);
    Arrays.fill(types, SPECIAL_TOKENS, SPECIAL_TOKENS + BYTES, BYTE);
    float[] scores = new float[vocabulary];
    for (int i = SPECIAL_TOKENS + BYTES; i < vocabulary; i++) {
      scores[i] = -i;
    }
    writer
        .set("tokenizer.ggml.model", "llama")
        .set("tokenizer.ggml.tokens", tokens)
        .set("tokenizer.ggml.token_type", types)
        .set("tokenizer.ggml.scores", scores)
        .set("tokenizer.ggml.bos_token_id", 1)
        .set("tokenizer.ggml.eos_token_id", 2)
        .set("tokenizer.ggml.unknown_token_id", 0);
  }

  /** Letters, then pairs of them, then triples: what SentencePiece merges, one by one. */
  private static String piece(int index) {
    StringBuilder piece = new StringBuilder();
    for (int rest = index; rest >= 0; rest = rest / 27 - 1) {
      piece.append(rest % 27 == 26 ? '\u2581' : (char) ('a' + rest % 27));
    }
    return piece.reverse().toString();
  }

  private void layer(GgufWriter writer, SplittableRandom random, String block) {
    int kvRows = embedding / heads * kvHeads;
    norm(writer, block + "attn_norm.weight");
    matrix(writer, random, block + "attn_q.weight", embedding, embedding);
    matrix(writer, random, block + "attn_k.weight", kvRows, embedding);
    matrix(writer, random, block + "attn_v.weight", kvRows, embedding);
    matrix(writer, random, block + "attn_output.weight", embedding, embedding);
    norm(writer, block + "ffn_norm.weight");
    matrix(writer, random, block + "ffn_gate.weight", feedForward, embedding);
    matrix(writer, random, block + "ffn_up.weight", feedForward, embedding);
    matrix(writer, random, block + "ffn_down.weight", embedding, feedForward);
  }

  private void norm(GgufWriter writer, String name) {
    float[] ones = new float[embedding];
    Arrays.fill(ones, 1);
    writer.tensor(name, TensorType.F32, ones, embedding);
  }

  /** Weights without mean, of a variance near 1 / columns. */
  private static void matrix(
      GgufWriter writer, SplittableRandom random, String name, int rows, int columns) {
    writer.beginTensor(name, TYPE, columns, rows);
    short scale = nearestPowerOfTwo(1 / (INTEGER_RMS * Math.sqrt(columns)));
    int rowBytes = columns / TYPE.blockElements() * TYPE.blockBytes();
    int step = Math.max(1, SLICE_BYTES / rowBytes);
    for (int row = 0; row < rows; row += step) {
      writer.appendBytes(blocks(random, scale, Math.min(step, rows - row) * rowBytes));
    }
  }

  /** As binary16, whose exponent begins at bit 10 with 15 standing for 0. */
  private static short nearestPowerOfTwo(double value) {
    return (short) (Math.round(Math.log(value) / Math.log(2)) + 15 << 10);
  }

  /** Q4_0: a scale of two bytes, then two integers a byte, 8 standing for 0. */
  private static byte[] blocks(SplittableRandom random, short scale, int length) {
    byte[] bytes = new byte[length];
    for (int i = 0; i < length; i++) {
      bytes[i] =
          switch (i % TYPE.blockBytes()) {
            case 0 -> (byte) scale;
            case 1 -> (byte) (scale >> 8);
            default -> (byte) (random.nextInt(1, 16) << 4 | random.nextInt(1, 16));
          };
    }
    return bytes;
  }
}
