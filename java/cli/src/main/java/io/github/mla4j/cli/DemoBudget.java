package io.github.mla4j.cli;

import io.github.mla4j.ModelInfo;

/**
 * How much the demo compresses, and how much it measures so that it ends soon.
 *
 * @param ropeDims rotary dims kept per head
 * @param rank latent dims per KV head
 * @param calibrationCharacters of text that the 2-norm choice is measured on
 * @param passageTokens of text that perplexity is measured on
 */
record DemoBudget(int ropeDims, int rank, int calibrationCharacters, int passageTokens) {
  private static final long SMALL = 20_000_000;

  /** Half the rotary dims and rank half the head's length: half of the cache is left. */
  static DemoBudget of(ModelInfo model) {
    int pairs = Math.max(1, model.headLength() / 4);
    int rank = Math.max(1, model.headLength() / 2);
    return model.parameters() <= SMALL
        ? new DemoBudget(2 * pairs, rank, 6_000, 2_048)
        : new DemoBudget(2 * pairs, rank, 4_000, 512);
  }
}
