package io.github.mla4j.convert.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;

class TextTest {
  @Test
  void joinsOnlyLinesThatThePageWidthBroke() {
    String set =
        """
        CHAPTER I

        "Well, Prince, so Genoa and
        Lucca are now just estates of
        the Buonapartes."

        Speak, speak.
        Resolved. resolved.
        """;
    assertEquals(
        """
        CHAPTER I

        "Well, Prince, so Genoa and Lucca are now just estates of the Buonapartes."

        Speak, speak.
        Resolved. resolved.
        """,
        WrappedText.unwrap(set, 30));
  }

  @Test
  void unwrappingChangesNothingButLineBreaks() {
    String text = "aa bb\ncc\n\ndddd\neeee\n";
    assertEquals("aa bb cc\n\ndddd eeee\n", WrappedText.unwrap(text, 7));
    assertEquals(text, WrappedText.unwrap(text, 100));
    assertEquals("aa bb\ncc", WrappedText.unwrap("aa bb\r\ncc", 100));
    assertEquals("", WrappedText.unwrap("", 7));
  }

  @Test
  void aHeldOutPassageIsWholeParagraphsAndNoneOfTheRest() {
    String text = "one.\n\ntwo.\n\nthree.\n\nfour.\n\nfive.";
    HeldOutText cut = HeldOutText.cut(text, 0.25, 8);
    assertEquals("three.\n\nfour.", cut.passage());
    assertEquals(List.of("one.\n\ntwo.", "five."), cut.training());
  }

  @Test
  void saysWhenATextIsTooShortForAPassage() {
    IllegalArgumentException e =
        assertThrows(
            IllegalArgumentException.class, () -> HeldOutText.cut("one.\n\ntwo.\n\n", 0.5, 8));
    assertEquals("text of 12 characters, expected more than 8 after 50 % of it", e.getMessage());
  }

  @Test
  void windowsOfAnEpochAreDisjointAndDoNotDependOnWhatWasAskedBefore() {
    int[] tokens = new int[103];
    for (int i = 0; i < tokens.length; i++) {
      tokens[i] = i;
    }
    TokenWindows windows = new TokenWindows(tokens, 10, 5);
    assertEquals(9, windows.perEpoch());
    boolean[] seen = new boolean[tokens.length];
    for (int step = 0; step < 3; step++) {
      long[] batch = windows.batch(step, 3);
      assertEquals(3 * 11, batch.length);
      for (int row = 0; row < 3; row++) {
        for (int i = 0; i < 10; i++) {
          int token = (int) batch[row * 11 + i];
          assertEquals(token + 1, batch[row * 11 + i + 1]);
          assertTrue(!seen[token], "token " + token + " twice in an epoch");
          seen[token] = true;
        }
      }
    }
    long[] later = windows.batch(5, 3);
    windows.batch(0, 3);
    assertArrayEquals(later, windows.batch(5, 3));
    assertArrayEquals(later, new TokenWindows(tokens, 10, 5).batch(5, 3));
  }

  @Test
  void theLearningRateRisesStaysAndFallsToZero() {
    LearningRate rate = new LearningRate(0.1, 4, 9);
    assertEquals(0.025, rate.at(0, 30), 1e-12);
    assertEquals(0.1, rate.at(3, 30), 1e-12);
    assertEquals(0.1, rate.at(21, 30), 1e-12);
    // Five of nine cool-down steps are gone: 1 - sqrt(5/9) is left.
    assertEquals(0.1 * (1 - Math.sqrt(5 / 9.0)), rate.at(26, 30), 1e-12);
    assertTrue(rate.at(29, 30) < 0.006);
    assertEquals(0, rate.at(30, 30), 1e-12);
  }
}
