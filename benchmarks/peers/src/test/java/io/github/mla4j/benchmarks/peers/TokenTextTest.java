package io.github.mla4j.benchmarks.peers;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import io.github.mla4j.Model;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

class TokenTextTest {
  private static final Path TINY =
      Path.of("../../java/core/src/main/resources/io/github/mla4j/embedded/mla-tiny.gguf");

  @Test
  void theTextEncodesToTheTokensPieceByPiece() {
    try (Model model = Model.load(TINY)) {
      TokenText text = TokenText.of(model, 300);
      assertEquals(300, text.tokens().length);
      assertFalse(text.pieces().isEmpty());
      for (int count : new int[] {1, 7, 300}) {
        int[] encoded =
            model
                .tokenizer()
                .encode(String.join("", text.pieces().subList(0, count)), false, false);
        assertArrayEquals(java.util.Arrays.copyOf(text.tokens(), count), encoded);
      }
      assertArrayEquals(text.tokens(), TokenText.of(model, 300).tokens());
    }
  }
}
