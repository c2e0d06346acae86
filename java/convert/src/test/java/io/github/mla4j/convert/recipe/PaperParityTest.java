package io.github.mla4j.convert.recipe;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.github.mla4j.convert.RopeSelection;
import io.github.mla4j.convert.SvdMethod;
import io.github.mla4j.convert.source.Fixtures;
import io.github.mla4j.convert.source.HuggingFaceSource;
import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.source.ModelSource;
import io.github.mla4j.convert.source.PaperCheckpoint;
import java.io.IOException;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Sources, the paper's checkpoints and our own conversions against the answers of its code. */
class PaperParityTest {
  private static final double TOLERANCE = 2e-4;

  static List<String> models() {
    return Fixtures.models();
  }

  static List<Fixtures.Case> cases() {
    return Fixtures.cases();
  }

  @ParameterizedTest
  @MethodSource("models")
  void sourceGivesTheExpectedLogits(String model) throws IOException {
    try (ModelSource source = HuggingFaceSource.open(Fixtures.source(model))) {
      compare(ReferenceDecoder.of(source), model, "source_logits");
    }
  }

  @ParameterizedTest
  @MethodSource("cases")
  void paperCheckpointGivesTheExpectedLogits(Fixtures.Case test) throws IOException {
    PaperModel model = new PaperModel(PaperCheckpoint.open(test.converted(), Optional.empty()));
    compare(ReferenceDecoder.of(model), test.model(), test.name() + ".logits");
  }

  @ParameterizedTest
  @MethodSource("cases")
  void ownConversionGivesTheExpectedLogits(Fixtures.Case test) throws IOException {
    String[] parts = test.parts();
    RopeSelection rope = RopeSelection.of(parts[0].replace("2norm", "2-norm"));
    int ropeDims = Integer.parseInt(parts[2].substring(1));
    Mha2MlaSettings settings =
        new Mha2MlaSettings(
            rope, ropeDims, SvdMethod.of(parts[1]), Integer.parseInt(parts[3].substring(1)));
    try (ModelSource source = HuggingFaceSource.open(test.source())) {
      ModelConfig config = source.config();
      Mha2Mla model =
          new Mha2Mla(
              source,
              settings,
              layer ->
                  rope == RopeSelection.TWO_NORM
                      ? KeptPairs.byRank(
                          ranks(test.model(), config, layer), config.headLength(), ropeDims)
                      : KeptPairs.byFrequency(
                          rope, config.headLength(), ropeDims, 0, config.kvHeadCount()));
      compare(ReferenceDecoder.of(model), test.model(), test.name() + ".logits");
    }
  }

  private static int[][] ranks(String model, ModelConfig config, int layer) {
    try {
      long[] all = Fixtures.twoNormRank(model);
      int d = config.headLength();
      int[][] ranks = new int[config.kvHeadCount()][d / 2];
      for (int g = 0; g < ranks.length; g++) {
        for (int pair = 0; pair < d / 2; pair++) {
          ranks[g][pair] = (int) all[(layer * ranks.length + g) * d + pair];
        }
      }
      return ranks;
    } catch (IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }

  private static void compare(ReferenceDecoder decoder, String model, String expected)
      throws IOException {
    float[] answers = Fixtures.logits(model, expected);
    int next = 0;
    for (int[] sequence : Fixtures.tokens(model)) {
      for (double[] row : decoder.logits(sequence)) {
        float[] got = new float[row.length];
        float[] want = new float[row.length];
        for (int i = 0; i < row.length; i++) {
          got[i] = (float) row[i];
          want[i] = answers[next++];
        }
        assertArrayEquals(want, got, (float) TOLERANCE);
      }
    }
    assertEquals(answers.length, next);
  }
}
