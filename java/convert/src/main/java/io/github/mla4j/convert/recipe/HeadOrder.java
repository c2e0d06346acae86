package io.github.mla4j.convert.recipe;

import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.source.PairOrder;
import java.util.function.IntFunction;
import java.util.stream.IntStream;

/** Where the rows of a plain model's queries and keys go, given the pairs that stay rotary. */
final class HeadOrder {
  private final ModelConfig config;
  private final KeptPairs kept;

  HeadOrder(ModelConfig config, KeptPairs kept) {
    this.config = config;
    this.kept = kept;
  }

  /** Source rows of the converted queries: a head's rotary dims, then its others. */
  int[] queryRows() {
    return rows(config.headCount(), head -> kept.dims(head / config.groupSize()));
  }

  /** Source rows of the rotary keys, KV head after KV head. */
  int[] rotaryKeyRows() {
    return rows(config.kvHeadCount(), kept::rotaryDims);
  }

  /** Source rows of the other keys, KV head after KV head. */
  int[] otherKeyRows() {
    return rows(config.kvHeadCount(), kept::otherDims);
  }

  /** The queries' norm in the order of their rows: one for all heads where that is enough. */
  float[] queryNorm(float[] weight) {
    return norm(weight, config.headCount(), config.groupSize());
  }

  /** The keys' norm, likewise. */
  float[] keyNorm(float[] weight) {
    return norm(weight, config.kvHeadCount(), 1);
  }

  private float[] norm(float[] weight, int heads, int groupSize) {
    int d = config.headLength();
    int copies = kept.sameForAllHeads() ? 1 : heads;
    float[] ordered = new float[copies * d];
    for (int head = 0; head < copies; head++) {
      System.arraycopy(
          PairOrder.select(weight, kept.dims(head / groupSize)), 0, ordered, head * d, d);
    }
    return ordered;
  }

  private int[] rows(int heads, IntFunction<int[]> dimsOfHead) {
    return IntStream.range(0, heads)
        .flatMap(
            head ->
                IntStream.of(dimsOfHead.apply(head)).map(dim -> head * config.headLength() + dim))
        .toArray();
  }
}
