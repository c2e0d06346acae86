package io.github.mla4j.convert.output;

import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.gguf.GgufWriter;

/** The keys that plain and converted files share. */
final class ModelSizes {
  private ModelSizes() {}

  static void write(GgufWriter writer, String prefix, ModelConfig config) {
    writer.set(prefix + "block_count", config.blockCount());
    writer.set(prefix + "context_length", config.contextLength());
    writer.set(prefix + "embedding_length", config.embeddingLength());
    writer.set(prefix + "feed_forward_length", config.feedForwardLength());
    writer.set(prefix + "vocab_size", config.vocabularySize());
    writer.set(prefix + "attention.head_count", config.headCount());
    writer.set(prefix + "attention.head_count_kv", config.kvHeadCount());
    writer.set(prefix + "attention.key_length", config.headLength());
    writer.set(prefix + "attention.value_length", config.headLength());
    writer.set(prefix + "attention.layer_norm_rms_epsilon", (float) config.rmsEpsilon());
    config
        .slidingWindow()
        .ifPresent(window -> writer.set(prefix + "attention.sliding_window", window));
  }
}
