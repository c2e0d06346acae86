package io.github.mla4j.convert.calibration;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.github.mla4j.convert.source.Fixtures;
import io.github.mla4j.convert.source.HuggingFaceSource;
import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.source.ModelSource;
import java.io.IOException;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class PairStrengthsTest {
  static List<String> models() {
    return Fixtures.models();
  }

  @ParameterizedTest
  @MethodSource("models")
  void ranksPairsAsThePapersCodeDoes(String model) throws IOException {
    assumeTrue(Fixtures.hasTwoNormRank(model), model + " has no ranks to compare with");
    try (ModelSource source = HuggingFaceSource.open(Fixtures.source(model))) {
      ModelConfig config = source.config();
      PairStrengths strengths = new PairStrengths(config);
      new LayerwiseForward(source).run(Fixtures.calibrationTokens(model), strengths, done -> {});
      long[] expected = Fixtures.twoNormRank(model);
      int d = config.headLength();
      for (int layer = 0; layer < config.blockCount(); layer++) {
        int[][] ranks = strengths.ranks(layer);
        for (int g = 0; g < config.kvHeadCount(); g++) {
          for (int dim = 0; dim < d; dim++) {
            assertEquals(
                expected[(layer * config.kvHeadCount() + g) * d + dim],
                ranks[g][dim % (d / 2)],
                "layer %d, KV head %d, dim %d".formatted(layer, g, dim));
          }
        }
      }
    }
  }
}
