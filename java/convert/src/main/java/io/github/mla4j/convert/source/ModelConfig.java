package io.github.mla4j.convert.source;

import java.util.Objects;
import java.util.OptionalInt;

/**
 * Sizes of a decoder, named as in GGUF.
 *
 * @param family what differs in its attention
 * @param blockCount layers
 * @param contextLength tokens, as trained
 * @param embeddingLength D, elements of the residual stream
 * @param feedForwardLength width of the gated MLP
 * @param vocabularySize rows of the embedding
 * @param headCount query heads
 * @param kvHeadCount key/value heads; divides {@code headCount}
 * @param headLength d, dims of a head's query, key and value; even
 * @param rmsEpsilon added to the mean square in every norm
 * @param slidingWindow tokens that attention reaches back, where limited
 * @param rope rotary frequencies
 * @param tiedEmbeddings whether the embedding is also the output matrix
 */
public record ModelConfig(
    ModelFamily family,
    int blockCount,
    int contextLength,
    int embeddingLength,
    int feedForwardLength,
    int vocabularySize,
    int headCount,
    int kvHeadCount,
    int headLength,
    double rmsEpsilon,
    OptionalInt slidingWindow,
    RopeFrequencies rope,
    boolean tiedEmbeddings) {

  public ModelConfig {
    Objects.requireNonNull(family, "family");
    Objects.requireNonNull(slidingWindow, "slidingWindow");
    Objects.requireNonNull(rope, "rope");
  }

  /** Query heads that share a key/value head. */
  public int groupSize() {
    return headCount / kvHeadCount;
  }

  /** Rows of the query projection. */
  public int queryRows() {
    return headCount * headLength;
  }

  /** Rows of the key projection, and of the value projection. */
  public int kvRows() {
    return kvHeadCount * headLength;
  }
}
