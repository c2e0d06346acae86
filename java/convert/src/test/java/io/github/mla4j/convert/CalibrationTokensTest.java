package io.github.mla4j.convert;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** Which windows of a text are measured on. */
class CalibrationTokensTest {
  private static int[] text(int tokens) {
    return IntStream.range(0, tokens).toArray();
  }

  @Test
  void windowsAreSpreadOverTheText() {
    int[][] cut = CalibrationTokens.cut(text(103), 3, 10);
    assertArrayEquals(new int[][] {range(0, 10), range(30, 40), range(60, 70)}, cut);
  }

  @Test
  void aTextOfJustEnoughIsTakenWhole() {
    int[][] cut = CalibrationTokens.cut(text(35), 5, 10);
    assertArrayEquals(new int[][] {range(0, 10), range(10, 20), range(20, 30)}, cut);
  }

  @Test
  void aShortTextIsAWindow() {
    int[][] cut = CalibrationTokens.cut(text(7), 5, 10);
    assertEquals(1, cut.length);
    assertArrayEquals(range(0, 7), cut[0]);
  }

  private static int[] range(int first, int last) {
    return IntStream.range(first, last).toArray();
  }
}
