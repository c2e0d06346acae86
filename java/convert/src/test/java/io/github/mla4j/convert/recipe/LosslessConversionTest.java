package io.github.mla4j.convert.recipe;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.mla4j.convert.RopeSelection;
import io.github.mla4j.convert.SvdMethod;
import io.github.mla4j.convert.source.Fixtures;
import io.github.mla4j.convert.source.HuggingFaceSource;
import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.source.ModelSource;
import java.io.IOException;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What must change nothing: all dims rotary, and factoring at full rank. */
class LosslessConversionTest {
  private static final int[] TOKENS = new Random(3).ints(8, 0, 256).toArray();
  private static final double TOLERANCE = 1e-4;
  // One that is the same for all heads, one that is not.
  private static final RopeSelection[] CHOICES = {RopeSelection.UNIFORM, RopeSelection.TWO_NORM};

  static List<String> models() {
    return Fixtures.models();
  }

  @ParameterizedTest
  @MethodSource("models")
  void allDimsRotaryIsTheSource(String model) throws IOException {
    try (ModelSource source = HuggingFaceSource.open(Fixtures.source(model))) {
      double[][] expected = ReferenceDecoder.of(source).logits(TOKENS);
      int d = source.config().headLength();
      for (RopeSelection rope : CHOICES) {
        for (SvdMethod svd : SvdMethod.values()) {
          double[][] logits = logits(source, rope, d, svd);
          assertTrue(distance(expected, logits) < TOLERANCE, rope + " " + svd);
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("models")
  void fullRankIsTheModelWithoutFactors(String model) throws IOException {
    try (ModelSource source = HuggingFaceSource.open(Fixtures.source(model))) {
      double[][] plain = ReferenceDecoder.of(source).logits(TOKENS);
      for (RopeSelection rope : CHOICES) {
        for (int ropeDims : new int[] {0, 8}) {
          double[][] expected = logits(source, rope, ropeDims, SvdMethod.NONE);
          assertTrue(distance(plain, expected) > 0.01, "dropping rotation changes something");
          for (SvdMethod svd : SvdMethod.values()) {
            double[][] logits = logits(source, rope, ropeDims, svd);
            assertTrue(distance(expected, logits) < TOLERANCE, rope + " " + ropeDims + " " + svd);
          }
        }
      }
    }
  }

  @Test
  void aRankBelowTheFullOneLoses() throws IOException {
    Fixtures.models();
    try (ModelSource source = HuggingFaceSource.open(Fixtures.source("llama-gqa"))) {
      Mha2MlaSettings full = settings(source.config(), RopeSelection.HIGH, 8, SvdMethod.JOINT);
      Mha2MlaSettings less =
          new Mha2MlaSettings(RopeSelection.HIGH, 8, SvdMethod.JOINT, full.rank() - 1);
      assertEquals(24, full.rank());
      double[][] expected = logits(source, RopeSelection.HIGH, 8, SvdMethod.NONE);
      double[][] logits =
          ReferenceDecoder.of(new Mha2Mla(source, less, layer -> kept(source, less)))
              .logits(TOKENS);
      assertTrue(distance(expected, logits) > 1e-3);
    }
  }

  @Test
  void settingsThatDoNotFitAreRefused() throws IOException {
    Fixtures.models();
    try (ModelSource source = HuggingFaceSource.open(Fixtures.source("llama-gqa"))) {
      ModelConfig config = source.config(); // heads of 16 dims, 2 KV heads, 64 wide
      refuse(config, new Mha2MlaSettings(RopeSelection.HIGH, 7, SvdMethod.JOINT, 8), "rope dims 7");
      refuse(config, new Mha2MlaSettings(RopeSelection.HIGH, 18, SvdMethod.JOINT, 8), "length 16");
      refuse(config, new Mha2MlaSettings(RopeSelection.HIGH, -2, SvdMethod.JOINT, 8), "-2");
      refuse(config, new Mha2MlaSettings(RopeSelection.UNIFORM, 6, SvdMethod.JOINT, 8), "divisor");
      refuse(config, new Mha2MlaSettings(RopeSelection.HIGH, 8, SvdMethod.JOINT, 25), "1 to 24");
      refuse(config, new Mha2MlaSettings(RopeSelection.HIGH, 8, SvdMethod.SPLIT, 17), "1 to 16");
      refuse(config, new Mha2MlaSettings(RopeSelection.HIGH, 8, SvdMethod.ONLY_KEY, 9), "1 to 8");
      refuse(config, new Mha2MlaSettings(RopeSelection.HIGH, 8, SvdMethod.ONLY_VALUE, 0), "rank 0");
      new Mha2MlaSettings(RopeSelection.HIGH, 8, SvdMethod.NONE, 0).check(config);
    }
  }

  private static void refuse(ModelConfig config, Mha2MlaSettings settings, String words) {
    String message =
        assertThrows(IllegalArgumentException.class, () -> settings.check(config)).getMessage();
    assertTrue(message.contains(words), message);
  }

  private static double[][] logits(
      ModelSource source, RopeSelection rope, int ropeDims, SvdMethod svd) throws IOException {
    Mha2MlaSettings settings = settings(source.config(), rope, ropeDims, svd);
    return ReferenceDecoder.of(new Mha2Mla(source, settings, layer -> kept(source, settings)))
        .logits(TOKENS);
  }

  private static Mha2MlaSettings settings(
      ModelConfig config, RopeSelection rope, int ropeDims, SvdMethod svd) {
    int rank = new Mha2MlaSettings(rope, ropeDims, svd, 0).maxRank(config);
    return new Mha2MlaSettings(rope, ropeDims, rank == 0 ? SvdMethod.NONE : svd, rank);
  }

  private static KeptPairs kept(ModelSource source, Mha2MlaSettings settings) {
    ModelConfig config = source.config();
    if (settings.rope() != RopeSelection.TWO_NORM) {
      return KeptPairs.byFrequency(
          settings.rope(), config.headLength(), settings.ropeDims(), 0, config.kvHeadCount());
    }
    // A ranking of its own for every head.
    int[][] rank = new int[config.kvHeadCount()][config.headLength() / 2];
    for (int g = 0; g < rank.length; g++) {
      for (int pair = 0; pair < rank[g].length; pair++) {
        rank[g][pair] = (pair * 3 + g) % rank[g].length;
      }
    }
    return KeptPairs.byRank(rank, config.headLength(), settings.ropeDims());
  }

  private static double distance(double[][] a, double[][] b) {
    double distance = 0;
    for (int t = 0; t < a.length; t++) {
      for (int i = 0; i < a[t].length; i++) {
        distance = Math.max(distance, Math.abs(a[t][i] - b[t][i]));
      }
    }
    return distance;
  }
}
