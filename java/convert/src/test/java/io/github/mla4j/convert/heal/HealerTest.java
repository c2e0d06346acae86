package io.github.mla4j.convert.heal;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import io.github.mla4j.CacheType;
import io.github.mla4j.CancelledException;
import io.github.mla4j.MlaException;
import io.github.mla4j.Model;
import io.github.mla4j.convert.source.Fixtures;
import io.github.mla4j.gguf.Gguf;
import io.github.mla4j.gguf.GgufKey;
import io.github.mla4j.gguf.GgufTensor;
import io.github.mla4j.gguf.GgufWriter;
import io.github.mla4j.gguf.TensorType;
import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import javax.imageio.ImageIO;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Healing from file to file, of a model that has learnt something. */
class HealerTest {
  private static final String STORY =
      "Once upon a time, there was a little girl named Lily. She loved to play outside in the park "
          + "with her friends. One day, she saw a big red ball. She wanted to play with it, but her "
          + "mom said it was not hers. Lily was sad, but then a boy came and said she could play. ";

  @TempDir Path folder;

  private Path source;
  private Path converted;
  private Path text;

  @BeforeEach
  void convert() throws IOException {
    source = Fixtures.shared("models/stories260K.gguf");
    converted = ConvertedModels.calibrated(source, folder, 0.7, TensorType.Q8_0);
    text = Files.writeString(folder.resolve("story.txt"), STORY.repeat(3));
  }

  private Path output(String name) {
    return folder.resolve(name + ".gguf");
  }

  private static HealRequest.Options options(
      Trained trained, HealLoss loss, CacheType cache, long seed) {
    return new HealRequest.Options(
        trained,
        loss,
        HealSchedule.SHORT,
        OptionalDouble.of(1e-2),
        cache,
        OptionalInt.of(64),
        2,
        seed,
        HealDevice.CPU,
        Optional.of(Precision.F32),
        Optional.empty());
  }

  private HealRequest request(String name, long steps, boolean resume) {
    return new HealRequest(
        converted,
        source,
        List.of(text),
        output(name),
        new HealLength.Steps(steps),
        resume,
        options(Trained.ATTENTION, HealLoss.KL, CacheType.F16, 1));
  }

  private static HealRequest with(HealRequest request, HealRequest.Options options) {
    return new HealRequest(
        request.converted(),
        request.teacher(),
        request.data(),
        request.output(),
        request.length(),
        request.resume(),
        options);
  }

  /** Mean KL divergence from the source over the story, by the engine. */
  private double divergence(Path file) {
    int[] tokens = new int[64];
    try (Model model = Model.load(source)) {
      System.arraycopy(model.tokenizer().encode(STORY), 0, tokens, 0, tokens.length);
    }
    float[][] expected = ConvertedModels.engineLogits(source, tokens);
    float[][] found = ConvertedModels.engineLogits(file, tokens);
    double sum = 0;
    for (int t = 0; t < tokens.length; t++) {
      double[] p = logarithms(expected[t]);
      double[] q = logarithms(found[t]);
      for (int i = 0; i < p.length; i++) {
        sum += Math.exp(p[i]) * (p[i] - q[i]);
      }
    }
    return sum / tokens.length;
  }

  private static double[] logarithms(float[] logits) {
    double[] out = new double[logits.length];
    double sum = 0;
    for (float logit : logits) {
      sum += Math.exp(logit);
    }
    for (int i = 0; i < out.length; i++) {
      out[i] = logits[i] - Math.log(sum);
    }
    return out;
  }

  @Test
  void theModelComesNearerToItsSource() throws IOException {
    HealReport report = Healer.heal(request("healed", 30, false), HealListener.none());
    double before = divergence(converted);
    double after = divergence(output("healed"));
    assertTrue(after < 0.6 * before, "KL " + before + " before, " + after + " after");
    assertTrue(report.lastLoss() < 0.6 * report.firstLoss(), report.toString());
    assertEquals(30 * 2 * 64, report.tokens());
    assertFalse(Files.exists(Healer.checkpointOf(output("healed"))));
    assertTrue(ImageIO.read(report.plot().toFile()).getWidth() > 100);
  }

  static List<HealLoss> losses() {
    return List.of(HealLoss.KL, new HealLoss(0.3), HealLoss.CE);
  }

  @ParameterizedTest
  @MethodSource("losses")
  void allTensorsMayChange(HealLoss loss) throws IOException {
    HealReport report =
        Healer.heal(
            with(request("all", 20, false), options(Trained.ALL, loss, CacheType.F16, 1)),
            HealListener.none());
    assertTrue(report.lastLoss() < 0.8 * report.firstLoss(), report.toString());
    try (Gguf before = Gguf.open(converted);
        Gguf after = Gguf.open(output("all"))) {
      for (GgufTensor tensor : before.tensors()) {
        assertFalse(
            Arrays.equals(before.readFloats(tensor.name()), after.readFloats(tensor.name())),
            tensor.name());
      }
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"INT8", "INT4", "INT2"})
  void aLowBitCacheIsLearnt(CacheType cache) throws IOException {
    HealReport report =
        Healer.heal(
            with(request("low", 30, false), options(Trained.ATTENTION, HealLoss.KL, cache, 1)),
            HealListener.none());
    assertTrue(report.lastLoss() < 0.8 * report.firstLoss(), report.toString());
  }

  @Test
  void allElseIsCarriedOver() throws IOException {
    Healer.heal(request("healed", 2, false), HealListener.none());
    try (Gguf before = Gguf.open(converted);
        Gguf after = Gguf.open(output("healed"))) {
      List<String> keys = after.keys().stream().map(GgufKey::name).toList();
      for (GgufKey key : before.keys()) {
        assertTrue(keys.contains(key.name()), key.name());
      }
      assertEquals(before.strings("tokenizer.ggml.tokens"), after.strings("tokenizer.ggml.tokens"));
      assertEquals(
          before.string("mha2mla.conversion.source_sha256"),
          after.string("mha2mla.conversion.heal_teacher_sha256"));
      assertEquals(2, after.integer("mha2mla.conversion.heal_steps").orElseThrow());
      assertEquals(256, after.integer("mha2mla.conversion.heal_tokens").orElseThrow());
      assertTrue(after.real("mha2mla.conversion.heal_loss").orElseThrow() > 0);
      assertEquals(64, after.string("mha2mla.conversion.heal_data_sha256").orElseThrow().length());
      assertEquals(before.tensors().size(), after.tensors().size());
      for (GgufTensor tensor : before.tensors()) {
        GgufTensor healed = after.tensor(tensor.name()).orElseThrow();
        assertEquals(tensor.type(), healed.type(), tensor.name());
        assertEquals(tensor.dims(), healed.dims(), tensor.name());
        boolean same =
            Arrays.equals(before.readBytes(tensor.name()), after.readBytes(tensor.name()));
        assertEquals(!Trained.ATTENTION.includes(tensor.name()), same, tensor.name());
      }
    }
  }

  @Test
  void whatIsWrittenIsWhatWasTrained() throws IOException {
    HealRequest request = request("healed", 5, false);
    HealRequest.Options o = request.options();
    Healer.heal(
        with(
            request,
            new HealRequest.Options(
                o.trained(),
                o.loss(),
                o.schedule(),
                o.rate(),
                o.cache(),
                o.windowTokens(),
                o.batch(),
                o.seed(),
                o.device(),
                o.precision(),
                Optional.of(TensorType.F32))),
        HealListener.none());
    // The loss of the step that would follow, by torch on the same weights, is the engine's.
    try (Gguf file = Gguf.open(output("healed"))) {
      assertTrue(file.tensors().stream().allMatch(tensor -> tensor.type() == TensorType.F32));
    }
    DecoderTest.student(source, output("healed"));
  }

  @Test
  void windowsAreNoLongerThanTheContext() throws IOException {
    Files.writeString(text, STORY.repeat(12));
    HealRequest request = request("healed", 1, false);
    HealReport report =
        Healer.heal(with(request, HealRequest.Options.defaults()), HealListener.none());
    int context = 512;
    assertTrue(context < HealRequest.Options.DEFAULT_WINDOW_TOKENS);
    assertEquals(HealRequest.Options.DEFAULT_BATCH * context, report.tokens());
  }

  @Test
  void aSeedGivesTheSameFile() throws IOException {
    Healer.heal(request("one", 4, false), HealListener.none());
    Healer.heal(request("two", 4, false), HealListener.none());
    assertArrayEquals(Files.readAllBytes(output("one")), Files.readAllBytes(output("two")));
    Healer.heal(
        with(request("other", 4, false), options(Trained.ATTENTION, HealLoss.KL, CacheType.F16, 2)),
        HealListener.none());
    assertFalse(
        Arrays.equals(Files.readAllBytes(output("one")), Files.readAllBytes(output("other"))));
  }

  /** Ends a run after its first report. */
  private void begin(String name, long steps) {
    assertThrows(
        CancelledException.class,
        () ->
            Healer.heal(
                request(name, steps, false), progress -> Thread.currentThread().interrupt()));
    assertFalse(Thread.currentThread().isInterrupted());
    assertFalse(Files.exists(output(name)));
    assertTrue(Files.exists(Healer.checkpointOf(output(name))));
  }

  @Test
  void aResumedRunEndsAsIfItHadNeverStopped() throws IOException {
    Healer.heal(request("whole", 6, false), HealListener.none());
    begin("parts", 6);
    long[] resumedAt = new long[1];
    Healer.heal(
        request("parts", 6, true),
        new HealListener() {
          @Override
          public void onResume(long step, double fraction) {
            resumedAt[0] = step;
          }

          @Override
          public void onProgress(HealProgress progress) {}
        });
    assertTrue(resumedAt[0] >= 1 && resumedAt[0] < 6);
    assertArrayEquals(Files.readAllBytes(output("whole")), Files.readAllBytes(output("parts")));
    assertFalse(Files.exists(Healer.checkpointOf(output("parts"))));
  }

  /** A folder's weights are read by a channel, which an interrupt closes. */
  @Test
  void anInterruptWhileTheTeacherIsReadCancels() {
    HealRequest request =
        new HealRequest(
            converted,
            Fixtures.source("llama-gqa"),
            List.of(text),
            output("never"),
            new HealLength.Steps(5),
            false,
            options(Trained.ATTENTION, HealLoss.KL, CacheType.F16, 1));
    Thread.currentThread().interrupt();
    assertThrows(CancelledException.class, () -> Healer.heal(request, HealListener.none()));
    assertFalse(Thread.currentThread().isInterrupted());
    assertFalse(Files.exists(Healer.checkpointOf(output("never"))));
  }

  @Test
  void aRunThatWasBegunIsNotOverwritten() {
    begin("begun", 5);
    FileAlreadyExistsException failure =
        assertThrows(
            FileAlreadyExistsException.class,
            () -> Healer.heal(request("begun", 5, false), HealListener.none()));
    assertTrue(failure.getMessage().contains("--resume"), failure.getMessage());
  }

  @Test
  void aRunIsResumedAsItWasBegun() {
    begin("begun", 5);
    IOException failure =
        assertThrows(
            IOException.class,
            () ->
                Healer.heal(
                    with(
                        request("begun", 5, true),
                        options(Trained.ATTENTION, HealLoss.KL, CacheType.F16, 7)),
                    HealListener.none()));
    assertTrue(failure.getMessage().contains("seed: 1"), failure.getMessage());
    assertTrue(failure.getMessage().contains("seed: 7"), failure.getMessage());
  }

  @Test
  void aDamagedCheckpointIsNamed() throws IOException {
    begin("begun", 5);
    Path checkpoint = Healer.checkpointOf(output("begun"));
    byte[] whole = Files.readAllBytes(checkpoint);
    Files.write(checkpoint, Arrays.copyOf(whole, whole.length / 2));
    IOException failure =
        assertThrows(
            IOException.class, () -> Healer.heal(request("begun", 5, true), HealListener.none()));
    assertTrue(failure.getMessage().startsWith(checkpoint + " is damaged"), failure.getMessage());
    assertFalse(Files.exists(output("begun")));
  }

  @Test
  void minutesEndARun() throws IOException {
    HealRequest request = request("timed", 1, false);
    HealReport report =
        Healer.heal(
            new HealRequest(
                request.converted(),
                request.teacher(),
                request.data(),
                request.output(),
                new HealLength.Minutes(1.0 / 60),
                false,
                request.options()),
            HealListener.none());
    double seconds = report.elapsed().toMillis() / 1e3;
    assertTrue(seconds > 0.5 && seconds < 3, "took " + seconds + " s");
    assertTrue(Files.exists(output("timed")));
  }

  @ParameterizedTest
  @CsvSource({"llama-gqa", "qwen2-bias"})
  void anotherTeacherIsRefused(String model) {
    HealRequest request = request("never", 1, false);
    IllegalArgumentException failure =
        assertThrows(
            IllegalArgumentException.class,
            () ->
                Healer.heal(
                    new HealRequest(
                        converted,
                        Fixtures.source(model),
                        request.data(),
                        request.output(),
                        request.length(),
                        false,
                        request.options()),
                    HealListener.none()));
    assertTrue(failure.getMessage().contains(converted.toString()), failure.getMessage());
    assertTrue(
        failure.getMessage().contains(Fixtures.source(model).toString()), failure.getMessage());
    assertFalse(Files.exists(output("never")));
  }

  @Test
  void anotherVocabularyIsRefused() throws IOException {
    Path other = folder.resolve("other.gguf");
    try (Gguf file = Gguf.open(source);
        GgufWriter writer = GgufWriter.create(other)) {
      for (GgufKey key : file.keys()) {
        if (!key.name().equals("tokenizer.ggml.tokens")) {
          writer.copyKey(file, key.name());
        }
      }
      String[] tokens = file.strings("tokenizer.ggml.tokens").orElseThrow().toArray(String[]::new);
      tokens[300] = "changed";
      writer.set("tokenizer.ggml.tokens", List.of(tokens));
      for (GgufTensor tensor : file.tensors()) {
        writer.beginTensor(
            tensor.name(),
            tensor.type(),
            tensor.dims().stream().mapToLong(Long::longValue).toArray());
        writer.appendBytes(file.readBytes(tensor.name()));
      }
      writer.finish();
    }
    HealRequest request = request("never", 1, false);
    IllegalArgumentException failure =
        assertThrows(
            IllegalArgumentException.class,
            () ->
                Healer.heal(
                    new HealRequest(
                        converted,
                        other,
                        request.data(),
                        request.output(),
                        request.length(),
                        false,
                        request.options()),
                    HealListener.none()));
    assertTrue(failure.getMessage().contains("changed"), failure.getMessage());
    assertTrue(failure.getMessage().contains("300"), failure.getMessage());
  }

  @Test
  void whatIsNotThereIsNamed() {
    Path missing = folder.resolve("missing");
    HealRequest good = request("never", 1, false);
    for (HealRequest bad :
        List.of(
            new HealRequest(
                missing, source, good.data(), good.output(), good.length(), false, good.options()),
            new HealRequest(
                converted,
                missing,
                good.data(),
                good.output(),
                good.length(),
                false,
                good.options()),
            new HealRequest(
                converted,
                source,
                List.of(missing),
                good.output(),
                good.length(),
                false,
                good.options()))) {
      NoSuchFileException failure =
          assertThrows(NoSuchFileException.class, () -> Healer.heal(bad, HealListener.none()));
      assertEquals(missing.toString(), failure.getFile());
    }
  }

  @Test
  void aPlainModelIsRefused() {
    HealRequest good = request("never", 1, false);
    IllegalArgumentException failure =
        assertThrows(
            IllegalArgumentException.class,
            () ->
                Healer.heal(
                    new HealRequest(
                        Path.of(source.toString()),
                        source,
                        good.data(),
                        good.output(),
                        good.length(),
                        false,
                        good.options()),
                    HealListener.none()));
    assertTrue(failure.getMessage().contains("mla convert"), failure.getMessage());
  }

  @Test
  void theInputsAreNotOverwritten() {
    for (Path input : List.of(converted, source)) {
      HealRequest good = request("never", 1, false);
      assertThrows(
          IllegalArgumentException.class,
          () ->
              Healer.heal(
                  new HealRequest(
                      converted, source, good.data(), input, good.length(), false, good.options()),
                  HealListener.none()));
    }
  }

  @Test
  void tooLittleTextIsRefused() throws IOException {
    Path little = Files.writeString(folder.resolve("little.txt"), "Once");
    HealRequest good = request("never", 1, false);
    IllegalArgumentException failure =
        assertThrows(
            IllegalArgumentException.class,
            () ->
                Healer.heal(
                    new HealRequest(
                        converted,
                        source,
                        List.of(little),
                        good.output(),
                        good.length(),
                        false,
                        good.options()),
                    HealListener.none()));
    assertTrue(failure.getMessage().contains("128"), failure.getMessage());
  }

  @Test
  void withoutAGpuCudaIsRefusedInWords() {
    assumeFalse(torch.cuda_is_available(), "there is a GPU here");
    MlaException failure =
        assertThrows(MlaException.class, () -> TorchPlace.of(HealDevice.CUDA, Optional.empty()));
    assertTrue(failure.getMessage().contains("pytorch-platform-gpu"), failure.getMessage());
  }
}
