package io.github.mla4j.convert;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.mla4j.CacheType;
import io.github.mla4j.Model;
import io.github.mla4j.Session;
import io.github.mla4j.convert.source.Fixtures;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What the calibrated recipe keeps of a model that has learnt something. */
final class CalibratedQualityTest {
  // So few and so like each other that the covariances have no full rank.
  private static final String STORY =
      "Once upon a time, there was a little girl named Lily. She loved to play outside in the park "
          + "with her friends. One day, she saw a big red ball. She wanted to play with it, but her "
          + "mom said it was not hers. Lily was sad, but then a boy came and said she could play. ";

  @TempDir private Path folder;

  @Test
  void predictsBetterThanThePapersRecipeOfTheSameSize() throws IOException {
    Path source = Fixtures.shared("models/stories260K.gguf");
    Path text = Files.writeString(folder.resolve("text.txt"), STORY.repeat(4));
    Path paper = folder.resolve("paper.gguf");
    ConversionReport mha2mla =
        Converter.convert(
            new ConvertRequest(source, paper, RopeSelection.TWO_NORM, 4, SvdMethod.JOINT, 4)
                .withCalibration(new Calibration.Text(text)),
            ProgressListener.none());
    CalibratedRequest request =
        new CalibratedRequest(
            source,
            output(),
            0.5,
            OptionalInt.empty(),
            OptionalInt.empty(),
            true,
            new Calibration.Text(text),
            4,
            64,
            0,
            LatentRotation.HADAMARD,
            1,
            Optional.empty());
    assertEquals(
        mha2mla.convertedElements(),
        Converter.convert(request, ProgressListener.none()).convertedElements());
    int[] tokens;
    try (Model model = Model.load(source)) {
      tokens = model.tokenizer().encode("One day Tim and his mom went to the park to play ball.");
    }
    float[][] expected = logits(source, tokens);
    double ours = divergence(expected, logits(output(), tokens));
    double theirs = divergence(expected, logits(paper, tokens));
    assertTrue(ours < 0.5 * theirs, "KL " + ours + " against the paper's " + theirs);
  }

  private static float[][] logits(Path file, int[] tokens) {
    try (Model model = Model.load(file)) {
      return logits(model, tokens);
    }
  }

  private static float[][] logits(Model model, int[] tokens) {
    try (Session session =
        model.newSession(s -> s.cache(CacheType.F32).contextLength(128).threads(1))) {
      return session.logitsAll(tokens);
    }
  }

  /** Mean KL divergence of next-token distributions, in nats. */
  private static double divergence(float[][] expected, float[][] actual) {
    double sum = 0;
    for (int t = 0; t < expected.length; t++) {
      double[] p = logProbabilities(expected[t]);
      double[] q = logProbabilities(actual[t]);
      for (int i = 0; i < p.length; i++) {
        sum += Math.exp(p[i]) * (p[i] - q[i]);
      }
    }
    return sum / expected.length;
  }

  private static double[] logProbabilities(float[] logits) {
    double sum = 0;
    for (float logit : logits) {
      sum += Math.exp(logit);
    }
    double total = Math.log(sum);
    double[] logs = new double[logits.length];
    for (int i = 0; i < logs.length; i++) {
      logs[i] = logits[i] - total;
    }
    return logs;
  }

  private Path output() {
    return folder.resolve("out.gguf");
  }
}
