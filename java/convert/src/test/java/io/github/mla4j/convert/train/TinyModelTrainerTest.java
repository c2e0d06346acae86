package io.github.mla4j.convert.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.github.mla4j.CancelledException;
import io.github.mla4j.convert.torch.LlamaNames;
import io.github.mla4j.convert.torch.LlamaShape;
import io.github.mla4j.convert.torch.TensorValues;
import io.github.mla4j.gguf.Gguf;
import io.github.mla4j.gguf.TensorType;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.javacpp.Pointer;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TinyModelTrainerTest {
  private static final LlamaShape SHAPE = new LlamaShape(280, 32, 2, 4, 2, 8, 64, 32, 100, 1e-5);
  private static final TrainingPlan PLAN =
      new TrainingPlan(
          "tiny", "cc0-1.0", SHAPE, 24, 4, 32, 1e-2, 4, 8, 0.1, 1, 0.1, 0.5, 300, 8, 8, 2, 3);

  @TempDir Path folder;
  private Path text;

  private static final class Recorder implements TrainingListener {
    private final List<TrainingProgress> progress = new ArrayList<>();
    private final List<String> samples = new ArrayList<>();

    @Override
    public void onProgress(TrainingProgress step) {
      progress.add(step);
    }

    @Override
    public void onSample(String sample) {
      samples.add(sample);
    }
  }

  @BeforeEach
  void writeText() throws IOException {
    text = folder.resolve("text.txt");
    StringBuilder lines = new StringBuilder();
    for (int i = 0; i < 120; i++) {
      lines.append("The %d ships sail to port %d.\n\n".formatted(i % 7, i * 31 % 97));
    }
    Files.writeString(text, lines);
  }

  private TinyModelTrainer open(String output, boolean resume) throws IOException {
    return TinyModelTrainer.open(List.of(text), folder.resolve(output), PLAN, resume);
  }

  private static Map<String, float[]> weights(TinyModelTrainer trainer) {
    Map<String, float[]> weights = new LinkedHashMap<>();
    trainer
        .model()
        .parameters()
        .all()
        .forEach((name, t) -> weights.put(name, TensorValues.floats(t)));
    return weights;
  }

  @Test
  void learnsAndWritesTheModelFolder() throws IOException {
    Recorder recorder = new Recorder();
    Map<String, float[]> weights;
    try (TinyModelTrainer trainer = open("out", false)) {
      assertEquals(Math.log(280), trainer.heldOutLoss(), 0.1);
      trainer.run(recorder);
      assertTrue(trainer.heldOutLoss() < 4, "held-out loss " + trainer.heldOutLoss());
      weights = weights(trainer);
    }
    assertEquals(List.of(8L, 16L, 24L), recorder.progress.stream().map(p -> p.step()).toList());
    assertEquals(3, recorder.samples.size());
    Path out = folder.resolve("out");
    String passage = Files.readString(out.resolve("passage.txt"));
    assertTrue(passage.length() >= 300);
    assertTrue(Files.readString(text).contains(passage));
    assertTrue(Files.readString(text).startsWith(Files.readString(out.resolve("calibration.txt"))));
    JsonNode config = new ObjectMapper().readTree(out.resolve("config.json").toFile());
    assertEquals(32, config.get("hidden_size").asInt());
    assertEquals(2, config.get("num_key_value_heads").asInt());
    JsonNode tokenizer = new ObjectMapper().readTree(out.resolve("tokenizer.json").toFile());
    assertEquals(280, tokenizer.at("/model/vocab").size());
    assertEquals(279, tokenizer.at("/added_tokens/0/id").asInt());
    assertSafetensors(out.resolve("model.safetensors"), weights);
    assertGguf(out.resolve("model.gguf"), weights);
    try (var files = Files.list(out)) {
      assertTrue(files.noneMatch(f -> f.toString().endsWith(".tmp")));
    }
  }

  /** Reads the file as the format's description says, with nothing of the writer. */
  private static void assertSafetensors(Path file, Map<String, float[]> weights)
      throws IOException {
    ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
    int length = Math.toIntExact(bytes.getLong());
    assertEquals(0, length % 8);
    byte[] json = new byte[length];
    bytes.get(json);
    JsonNode header = new ObjectMapper().readTree(new String(json, StandardCharsets.UTF_8));
    assertEquals(weights.size() + 1, header.size());
    long end = 0;
    for (Map.Entry<String, float[]> weight : weights.entrySet()) {
      JsonNode tensor = header.get(weight.getKey());
      assertEquals("F32", tensor.get("dtype").asText());
      assertEquals(end, tensor.at("/data_offsets/0").asLong());
      end = tensor.at("/data_offsets/1").asLong();
      float[] stored = new float[weight.getValue().length];
      for (int i = 0; i < stored.length; i++) {
        stored[i] = bytes.getFloat();
      }
      assertArrayEquals(weight.getValue(), stored, weight.getKey());
    }
    assertEquals("[280,32]", header.at("/" + LlamaNames.EMBEDDING + "/shape").toString());
    assertFalse(bytes.hasRemaining());
  }

  private static void assertGguf(Path file, Map<String, float[]> weights) {
    try (Gguf gguf = Gguf.open(file)) {
      assertEquals("llama", gguf.string("general.architecture").orElseThrow());
      assertEquals("cc0-1.0", gguf.string("general.license").orElseThrow());
      assertEquals(List.of("text.txt"), gguf.strings("general.datasets").orElseThrow());
      assertEquals(2, gguf.integer("llama.attention.head_count_kv").orElseThrow());
      assertEquals(100, gguf.real("llama.rope.freq_base").orElseThrow());
      assertEquals(280, gguf.strings("tokenizer.ggml.tokens").orElseThrow().size());
      assertEquals(280 - 257, gguf.strings("tokenizer.ggml.merges").orElseThrow().size());
      assertEquals(279, gguf.integer("tokenizer.ggml.eos_token_id").orElseThrow());
      assertEquals(weights.size(), gguf.tensors().size());
      assertEquals(TensorType.Q8_0, gguf.tensor("token_embd.weight").orElseThrow().type());
      assertEquals(List.of(32L, 280L), gguf.tensor("token_embd.weight").orElseThrow().dims());
      assertArrayEquals(
          weights.get(LlamaNames.attentionNorm(1)), gguf.readFloats("blk.1.attn_norm.weight"));
      assertClose(weights.get(LlamaNames.value(1)), gguf.readFloats("blk.1.attn_v.weight"));
      // Two heads of 8: rows 0 and 4 turn together, then 1 and 5, ...
      int[] order = {0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15};
      float[] key = weights.get(LlamaNames.key(0));
      float[] paired = new float[key.length];
      for (int row = 0; row < order.length; row++) {
        System.arraycopy(key, order[row] * 32, paired, row * 32, 32);
      }
      assertClose(paired, gguf.readFloats("blk.0.attn_k.weight"));
    }
  }

  /** Within half a step of Q8_0, whose 127 steps reach to the largest of 32 values. */
  private static void assertClose(float[] expected, float[] got) {
    assertEquals(expected.length, got.length);
    for (int block = 0; block < expected.length; block += 32) {
      float largest = 0;
      for (int i = block; i < block + 32; i++) {
        largest = Math.max(largest, Math.abs(expected[i]));
      }
      for (int i = block; i < block + 32; i++) {
        assertEquals(expected[i], got[i], 0.51 * largest / 127 + 1e-3 * largest, "element " + i);
      }
    }
  }

  @Test
  void aResumedRunEndsAsOneThatWasNeverStopped() throws IOException {
    Map<String, float[]> expected;
    try (TinyModelTrainer trainer = open("straight", false)) {
      for (int i = 0; i < 12; i++) {
        trainer.trainStep();
      }
      expected = weights(trainer);
    }
    try (TinyModelTrainer trainer = open("killed", false)) {
      for (int i = 0; i < 7; i++) {
        trainer.trainStep();
      }
      trainer.saveCheckpoint();
      trainer.trainStep(); // lost in the kill
    }
    // Killed while the next checkpoint was being written.
    Files.writeString(folder.resolve("killed/checkpoint.pt.tmp"), "half a check");
    try (TinyModelTrainer trainer = open("killed", true)) {
      assertEquals(7, trainer.step());
      for (int i = 0; i < 5; i++) {
        trainer.trainStep();
      }
      weights(trainer).forEach((name, got) -> assertArrayEquals(expected.get(name), got, name));
    }
  }

  @Test
  void anInterruptKeepsWhatIsDone() throws IOException {
    try (TinyModelTrainer trainer = open("out", false)) {
      TrainingListener interrupting =
          new TrainingListener() {
            @Override
            public void onProgress(TrainingProgress progress) {
              Thread.currentThread().interrupt();
            }

            @Override
            public void onSample(String text) {}
          };
      assertThrows(CancelledException.class, () -> trainer.run(interrupting));
      assertFalse(Thread.currentThread().isInterrupted());
    }
    try (TinyModelTrainer trainer = open("out", true)) {
      assertEquals(8, trainer.step());
    }
  }

  @Test
  void refusesToOverwriteARunOrToGoOnWithOtherTexts() throws IOException {
    try (TinyModelTrainer trainer = open("out", false)) {
      trainer.saveCheckpoint();
    }
    FileAlreadyExistsException exists =
        assertThrows(FileAlreadyExistsException.class, () -> open("out", false));
    assertTrue(exists.getMessage().contains("a run was begun here"), exists.getMessage());
    Files.writeString(text, Files.readString(text).replace("The 3 ships", "Our 3 ships"));
    Path checkpoint = folder.resolve("out/checkpoint.pt");
    IOException other = assertThrows(IOException.class, () -> open("out", true));
    assertEquals(
        checkpoint + " is no checkpoint of this run: it was trained on other texts",
        other.getMessage());
    byte[] whole = Files.readAllBytes(checkpoint);
    Files.write(checkpoint, Arrays.copyOf(whole, whole.length / 2));
    IOException damaged = assertThrows(IOException.class, () -> open("out", true));
    assertTrue(damaged.getMessage().startsWith(checkpoint + " is damaged"));
  }

  @Test
  void aStepLeavesNoNativeMemoryBehind() throws IOException {
    try (TinyModelTrainer trainer = open("out", false)) {
      trainer.trainStep();
      trainer.heldOutLoss();
      long before = Pointer.totalCount();
      trainer.trainStep();
      trainer.heldOutLoss();
      assertEquals(before, Pointer.totalCount());
    }
  }

  @Test
  void saysWhenTheTextsAreTooShortForTheVocabulary() throws IOException {
    Files.writeString(text, "ab. ab. ab. ab.\n\n".repeat(100));
    IllegalArgumentException e =
        assertThrows(IllegalArgumentException.class, () -> open("out", false));
    assertEquals("the texts give a vocabulary of 259 tokens, expected 280", e.getMessage());
  }

  @Test
  void namesTheTextThatIsNotUtf8() throws IOException {
    Files.write(text, new byte[] {'a', (byte) 0xC3, '(', '\n'});
    IOException e = assertThrows(IOException.class, () -> open("out", false));
    assertEquals(text + " is not UTF-8 text", e.getMessage());
  }

  @Test
  void namesTheTextThatIsMissing() throws IOException {
    Files.delete(text);
    IOException e = assertThrows(IOException.class, () -> open("out", false));
    assertEquals(text + " does not exist, expected a text to train on", e.getMessage());
  }

  @Test
  void aShorterPlanKeepsItsProportions() {
    TrainingPlan shorter = PLAN.withSteps(12);
    assertEquals(12, shorter.steps());
    assertEquals(2, shorter.warmUp());
    assertEquals(4, shorter.coolDown());
    assertEquals(PLAN, shorter.withSteps(24));
  }

  @Test
  void namesTheOptionOfAPlanThatCannotBe() {
    IllegalArgumentException e =
        assertThrows(
            IllegalArgumentException.class,
            () ->
                new TrainingPlan(
                    "tiny", "cc0-1.0", SHAPE, 24, 4, 33, 1e-2, 4, 8, 0.1, 1, 0, 0.5, 300, 8, 8, 2,
                    3));
    assertEquals("sequence is 33, expected 1 to the context of 32", e.getMessage());
  }
}
