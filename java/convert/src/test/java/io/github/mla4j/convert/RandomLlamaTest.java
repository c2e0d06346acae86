package io.github.mla4j.convert;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.github.mla4j.Model;
import io.github.mla4j.convert.source.GgufSource;
import io.github.mla4j.gguf.TensorType;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class RandomLlamaTest {
  private static final RandomLlama TINY = new RandomLlama(64, 2, 4, 4, 96, 1300, 128);

  @TempDir private Path folder;

  @Test
  void weightsHaveTheVarianceThatKeepsActivationsInBounds() {
    Path file = folder.resolve("tiny.gguf");
    TINY.write(file, 1);
    try (GgufSource source = GgufSource.open(file)) {
      assertEquals(TensorType.Q4_0, source.tensor("blk.1.ffn_up.weight").type());
      double sum = 0;
      double squares = 0;
      float[] weights = source.tensor("blk.1.ffn_up.weight").readAll();
      for (float weight : weights) {
        sum += weight;
        squares += (double) weight * weight;
      }
      // Q4_0 has its scale as the nearest power of two: at most √2 away.
      assertEquals(0, sum / weights.length, 0.01);
      assertEquals(0, Math.log(squares / weights.length * 64) / Math.log(2), 1.1);
    }
  }

  @Test
  void anyTextHasTokensAndTheModelRuns() {
    Path file = folder.resolve("tiny.gguf");
    TINY.write(file, 1);
    try (Model model = Model.load(file)) {
      String text = "the Zürich 7 cats";
      assertEquals(text, model.tokenizer().decode(model.tokenizer().encode(text)).strip());
      assertEquals(1300, model.info().vocabularySize());
    }
  }

  @Test
  void aSeedGivesTheSameBytes() throws IOException {
    TINY.write(folder.resolve("a.gguf"), 7);
    TINY.write(folder.resolve("b.gguf"), 7);
    assertArrayEquals(
        Files.readAllBytes(folder.resolve("a.gguf")), Files.readAllBytes(folder.resolve("b.gguf")));
  }
}
