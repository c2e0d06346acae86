package io.github.mla4j.convert.calibrated;

import io.github.mla4j.convert.source.ModelConfig;
import java.util.ArrayList;
import java.util.List;

/**
 * KV heads whose rotary keys are mixed and cached together, as one rotary group. At a frequency f
 * all heads turn alike, so any unitary mix of their complex keys commutes with the rotation.
 * Component (j, f), at index j·F + f, is direction j of the block's heads at frequency f; F is d/2.
 *
 * @param firstKvHead of the block
 * @param kvHeads B, in the block
 * @param frequencies F
 */
record ComponentBlock(int firstKvHead, int kvHeads, int frequencies) {
  // Statistics grow with the square of it, and queries of all heads with every component kept.
  private static final int MOST_COMPONENTS = 512;

  /** All heads as one block, or each alone where they have too many components together. */
  static List<ComponentBlock> of(ModelConfig config) {
    int frequencies = config.headLength() / 2;
    int all = config.kvHeadCount();
    int size = all * frequencies <= MOST_COMPONENTS ? all : 1;
    List<ComponentBlock> blocks = new ArrayList<>();
    for (int head = 0; head < all; head += size) {
      blocks.add(new ComponentBlock(head, size, frequencies));
    }
    return blocks;
  }

  /** B · F. */
  int components() {
    return kvHeads * frequencies;
  }
}
