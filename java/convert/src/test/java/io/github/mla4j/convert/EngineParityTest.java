package io.github.mla4j.convert;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.mla4j.CacheType;
import io.github.mla4j.Model;
import io.github.mla4j.Prefill;
import io.github.mla4j.Session;
import io.github.mla4j.convert.source.Fixtures;
import io.github.mla4j.gguf.Gguf;
import io.github.mla4j.gguf.TensorType;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Source, the paper's checkpoint and our conversion, each through the engine, batch and step,
 * absorbed and expanded, against the answers of the paper's code.
 */
class EngineParityTest {
  private static final float TOLERANCE = 1e-3f;

  @TempDir Path folder;

  static List<String> models() {
    return Fixtures.models();
  }

  static List<Fixtures.Case> cases() {
    return Fixtures.cases();
  }

  @ParameterizedTest
  @MethodSource("models")
  void source(String model) throws IOException {
    try (Gguf file = SourceLoader.toGguf(Fixtures.source(model), TensorType.F32)) {
      compare(file, model, "source_logits");
    }
  }

  @ParameterizedTest
  @MethodSource("cases")
  void paperCheckpoint(Fixtures.Case test) throws IOException {
    try (Gguf file = SourceLoader.toGguf(test.converted(), TensorType.F32)) {
      compare(file, test.model(), test.name() + ".logits");
    }
  }

  @ParameterizedTest
  @MethodSource("cases")
  void ownConversion(Fixtures.Case test) throws IOException {
    Path output = folder.resolve("own.gguf");
    Converter.convert(request(test, output), ProgressListener.none());
    try (Gguf file = Gguf.open(output)) {
      compare(file, test.model(), test.name() + ".logits");
    }
  }

  private ConvertRequest request(Fixtures.Case test, Path output) throws IOException {
    String[] parts = test.parts();
    ConvertRequest request =
        new ConvertRequest(
                test.source(),
                output,
                RopeSelection.of(parts[0].replace("2norm", "2-norm")),
                Integer.parseInt(parts[2].substring(1)),
                SvdMethod.of(parts[1]),
                Integer.parseInt(parts[3].substring(1)))
            .withType(TensorType.F32);
    if (request.rope() != RopeSelection.TWO_NORM) {
      return request;
    }
    Path ids = folder.resolve("ids.txt");
    Files.write(
        ids,
        Stream.of(Fixtures.calibrationTokens(test.model()))
            .map(
                row ->
                    Arrays.stream(row).mapToObj(Integer::toString).collect(Collectors.joining(",")))
            .toList());
    return request.withCalibration(new Calibration.Ids(ids));
  }

  private static void compare(Gguf file, String fixture, String expected) throws IOException {
    float[] answers = Fixtures.logits(fixture, expected);
    int[][] sequences = Fixtures.tokens(fixture);
    try (Model model = Model.load(file)) {
      int width = model.info().vocabularySize();
      for (Prefill prefill : List.of(Prefill.ABSORBED, Prefill.EXPANDED)) {
        for (int s = 0; s < sequences.length; s++) {
          int first = s * sequences[s].length;
          try (Session batch = session(model, prefill);
              Session step = session(model, prefill)) {
            float[][] rows = batch.logitsAll(sequences[s]);
            for (int t = 0; t < rows.length; t++) {
              check(answers, (first + t) * width, rows[t], prefill + ", token " + t);
              float[] stepped = step.logitsAll(sequences[s][t])[0];
              check(answers, (first + t) * width, stepped, prefill + ", step " + t);
            }
          }
        }
      }
    }
    assertEquals(answers.length, sequences.length * sequences[0].length * 256);
  }

  private static Session session(Model model, Prefill prefill) {
    return model.newSession(
        s -> s.cache(CacheType.F32).contextLength(64).threads(1).prefill(prefill));
  }

  private static void check(float[] answers, int offset, float[] got, String where) {
    float worst = 0;
    for (int i = 0; i < got.length; i++) {
      float difference = Math.abs(answers[offset + i] - got[i]);
      worst = difference <= worst ? worst : difference; // a NaN is worse than all
    }
    assertTrue(worst < TOLERANCE, where + ": off by " + worst);
  }
}
