package io.github.mla4j.convert;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.mla4j.Activations;
import io.github.mla4j.CacheOptions;
import io.github.mla4j.CacheType;
import io.github.mla4j.CancelledException;
import io.github.mla4j.MlaException;
import io.github.mla4j.Model;
import io.github.mla4j.Prefill;
import io.github.mla4j.Session;
import io.github.mla4j.Status;
import io.github.mla4j.convert.source.Fixtures;
import io.github.mla4j.gguf.Gguf;
import io.github.mla4j.gguf.TensorType;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Random;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Recipe {@code calibrated} from source to engine. */
class CalibratedConversionTest {
  private static final int[] TOKENS = {5, 17, 250, 3, 99, 128, 1, 77, 77, 20, 41, 6};

  @TempDir Path folder;

  @ParameterizedTest
  @ValueSource(strings = {"llama-gqa", "llama-mha", "qwen2-bias", "qwen3-qknorm"})
  void withNothingRemovedTheModelIsTheSame(String model) throws IOException {
    Converter.convert(request(model, 0, 0), ProgressListener.none());
    assertTrue(difference(model) < 2e-3);
  }

  /**
   * Every rotation gone into the latent or kept by hand: sizes as told, and the model still runs.
   */
  @ParameterizedTest
  @CsvSource({
    "llama-gqa, 0, 9",
    "llama-gqa, 2, 1",
    "llama-gqa, 10, 20",
    "llama-gqa, 32, 32",
    "qwen3-qknorm, 0, 9",
    "qwen3-qknorm, 10, 20",
    "qwen3-qknorm, 64, 128"
  })
  void sizesAreTakenAsTold(String model, int ropeDims, int rank) throws IOException {
    CalibratedRequest request =
        new CalibratedRequest(
            Fixtures.source(model),
            output(),
            0,
            OptionalInt.of(ropeDims),
            OptionalInt.of(rank),
            true,
            calibration(),
            4,
            64,
            2,
            LatentRotation.LEARNED,
            1,
            Optional.of(TensorType.F32));
    ConversionReport report = Converter.convert(request, ProgressListener.none());
    assertEquals(report.layers() * (ropeDims + rank), report.convertedElements());
    assertTrue(Double.isFinite(difference(model)));
  }

  @ParameterizedTest
  @ValueSource(doubles = {0.123, 0.5, 0.6875, 0.9})
  void theBudgetIsKept(double reduction) throws IOException {
    ConversionReport report =
        Converter.convert(request("llama-gqa", reduction, 0), ProgressListener.none());
    assertTrue(report.cacheFraction() <= 1 - reduction);
    // What is left out is less than an element and a pair a layer.
    assertTrue(report.convertedElements() > (1 - reduction) * report.sourceElements() - 3 * 2 - 1);
    try (Gguf file = Gguf.open(output())) {
      long latent =
          Arrays.stream(file.integers("mha2mla.attention.latent_lengths").orElseThrow()).sum();
      long rotary =
          Arrays.stream(file.integers("mha2mla.rope.dimension_counts").orElseThrow()).sum();
      assertEquals(report.convertedElements(), latent + rotary);
      assertEquals(Optional.of("calibrated"), file.string("mha2mla.conversion.method"));
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"llama-gqa", "qwen3-qknorm"})
  void moreCacheIsNearerToTheSource(String model) throws IOException {
    double[] seen = new double[3];
    double[] reductions = {0.25, 0.5, 0.85};
    for (int i = 0; i < seen.length; i++) {
      Converter.convert(request(model, reductions[i], 0), ProgressListener.none());
      seen[i] = difference(model);
    }
    assertTrue(seen[0] < seen[1] && seen[1] < seen[2], Arrays.toString(seen));
  }

  @Test
  void aSeedGivesTheSameFile() throws IOException {
    CalibratedRequest request = request("llama-gqa", 0.5, 3);
    Converter.convert(request, ProgressListener.none());
    byte[] first = Files.readAllBytes(output());
    Converter.convert(request, ProgressListener.none());
    assertArrayEquals(first, Files.readAllBytes(output()));
  }

  /** All that the file says of its cache, and prompts taken in either form. */
  @Test
  void normedHeadsAreCachedLikeOthers() throws IOException {
    ConversionReport report =
        Converter.convert(request("qwen3-qknorm", 0.5, 3), ProgressListener.none());
    assertEquals(2 * 64, report.convertedElements());
    try (Model model = Model.load(output())) {
      assertEquals(
          4.0 * report.convertedElements(),
          model.cacheBytesPerToken(CacheOptions.of(CacheType.F32)));
      float[][] absorbed = logits(model, Prefill.ABSORBED);
      float[][] expanded = logits(model, Prefill.EXPANDED);
      for (int t = 0; t < absorbed.length; t++) {
        assertArrayEquals(absorbed[t], expanded[t], 2e-4f);
      }
    }
  }

  @Test
  void anInterruptLeavesNoFile() {
    CalibratedRequest request = request("llama-gqa", 0.5, 1);
    assertThrows(
        CancelledException.class,
        () ->
            Converter.convert(
                request,
                progress -> {
                  if (progress.layer() == 1) {
                    Thread.currentThread().interrupt();
                  }
                }));
    assertFalse(Thread.currentThread().isInterrupted());
    assertFalse(Files.exists(output()));
  }

  @ParameterizedTest
  @CsvSource({"-0.1", "1", "0.999"})
  void refusesReductionsThatLeaveNothing(double reduction) {
    CalibratedRequest request = request("llama-gqa", reduction, 0);
    IllegalArgumentException failure =
        assertThrows(
            IllegalArgumentException.class,
            () -> Converter.convert(request, ProgressListener.none()));
    assertTrue(failure.getMessage().contains("reduction"), failure.getMessage());
    assertFalse(Files.exists(output()));
  }

  @Test
  void aSourceWithoutATokenizerIsNamedWhenItNeedsOne() {
    // The folder holds config.json and weights alone.
    Path source = Fixtures.source("llama-gqa");
    CalibratedRequest request = request("llama-gqa", new Calibration.Bundled(), 0.5, 0);
    MlaException failure =
        assertThrows(MlaException.class, () -> Converter.convert(request, ProgressListener.none()));
    assertEquals(Status.NOT_FOUND, failure.status());
    assertTrue(failure.getMessage().startsWith(source + ": "), failure.getMessage());
    assertTrue(failure.getMessage().contains("tokenizer.json"), failure.getMessage());
    assertFalse(Files.exists(output()));
  }

  private CalibratedRequest request(String model, double reduction, int refineSteps) {
    return request(model, calibration(), reduction, refineSteps);
  }

  private CalibratedRequest request(
      String model, Calibration calibration, double reduction, int refineSteps) {
    return new CalibratedRequest(
        Fixtures.source(model),
        output(),
        reduction,
        OptionalInt.empty(),
        OptionalInt.empty(),
        true,
        calibration,
        4,
        64,
        refineSteps,
        LatentRotation.HADAMARD,
        1,
        Optional.of(TensorType.F32));
  }

  private Calibration calibration() {
    Random random = new Random(3);
    String lines =
        random
            .ints(4 * 64, 0, 256)
            .mapToObj(Integer::toString)
            .collect(Collectors.joining(" "))
            .replaceAll("((\\d+ ){63}\\d+) ", "$1\n");
    try {
      return new Calibration.Ids(Files.writeString(folder.resolve("ids.txt"), lines));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private Path output() {
    return folder.resolve("out.gguf");
  }

  /** Root of the mean squared difference of logits, source against conversion, in the engine. */
  private double difference(String model) throws IOException {
    try (Gguf plain = SourceLoader.toGguf(Fixtures.source(model), TensorType.F32);
        Model source = Model.load(plain);
        Model converted = Model.load(output())) {
      float[][] expected = logits(source);
      float[][] actual = logits(converted);
      double sum = 0;
      for (int t = 0; t < expected.length; t++) {
        for (int i = 0; i < expected[t].length; i++) {
          sum += Math.pow(expected[t][i] - actual[t][i], 2);
        }
      }
      return Math.sqrt(sum / expected.length / expected[0].length);
    }
  }

  private static float[][] logits(Model model) {
    return logits(model, Prefill.AUTO);
  }

  private static float[][] logits(Model model, Prefill prefill) {
    try (Session session =
        model.newSession(
            options ->
                options.cache(CacheType.F32).prefill(prefill).activations(Activations.FINE))) {
      return session.logitsAll(TOKENS);
    }
  }
}
