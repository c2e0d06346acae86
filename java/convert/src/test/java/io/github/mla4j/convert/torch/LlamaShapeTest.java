package io.github.mla4j.convert.torch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;

class LlamaShapeTest {
  private static String refusal(int heads, int kvHeads, int headDim) {
    return assertThrows(
            IllegalArgumentException.class,
            () -> new LlamaShape(11, 12, 2, heads, kvHeads, headDim, 10, 16, 100, 1e-5))
        .getMessage();
  }

  @Test
  void saysWhichSizeIsWrongAndWhatWasExpected() {
    assertEquals("kvHeads is 4, expected a divisor of heads (6)", refusal(6, 4, 4));
    assertEquals("headDim is 5, expected an even number", refusal(6, 2, 5));
    assertEquals("heads is 0, expected at least 1", refusal(0, 2, 4));
  }
}
