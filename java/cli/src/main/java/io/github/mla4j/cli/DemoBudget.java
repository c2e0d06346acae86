package io.github.mla4j.cli;

import io.github.mla4j.ModelInfo;

/**
 * How much the demo measures, so that it ends soon.
 *
 * @param calibrationCharacters of text that the conversion measures the source on
 * @param windowTokens of that text's windows
 * @param refineSteps of fitting each converted layer
 * @param passageTokens of text that perplexity is measured on
 */
record DemoBudget(int calibrationCharacters, int windowTokens, int refineSteps, int passageTokens) {
  private static final long SMALL = 20_000_000;

  static DemoBudget of(ModelInfo model) {
    return model.parameters() <= SMALL
        ? new DemoBudget(10_000, 256, 20, 2_048)
        : new DemoBudget(4_000, 256, 0, 512);
  }
}
