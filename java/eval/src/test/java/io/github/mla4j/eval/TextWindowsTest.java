package io.github.mla4j.eval;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Optional;
import java.util.OptionalInt;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

final class TextWindowsTest {
  private static final OptionalInt BOS = OptionalInt.of(99);
  private static final OptionalInt NONE = OptionalInt.empty();

  @Test
  void everyTokenIsInOneWindowAndARestOfOneInNone() {
    TextWindows windows = windows(NONE, 7, 3);
    assertEquals(2, windows.count());
    assertArrayEquals(new int[] {0, 1, 2}, windows.window(0));
    assertArrayEquals(new int[] {3, 4, 5}, windows.window(1));
    windows = windows(NONE, 8, 3);
    assertEquals(3, windows.count());
    assertArrayEquals(new int[] {6, 7}, windows.window(2));
  }

  @Test
  void whatWindowsBeginWithTakesRoomAndPredictsARestOfOne() {
    TextWindows windows = windows(BOS, 5, 3);
    assertEquals(3, windows.count());
    assertArrayEquals(new int[] {99, 0, 1}, windows.window(0));
    assertArrayEquals(new int[] {99, 4}, windows.window(2));
    assertEquals(0, windows(BOS, 0, 3).count());
  }

  @Test
  void predictionsAreAllButEveryWindowsFirst() {
    for (OptionalInt bos : new OptionalInt[] {NONE, BOS}) {
      for (int tokens = 0; tokens < 20; tokens++) {
        for (int window = 2; window < 6; window++) {
          TextWindows all = windows(bos, tokens, window);
          for (int most = 0; most <= all.count() + 1; most++) {
            TextWindows first = all.first(most);
            assertEquals(Math.min(most, all.count()), first.count());
            int expected =
                IntStream.range(0, first.count()).map(i -> first.window(i).length - 1).sum();
            assertEquals(expected, first.predictions());
            IntStream.range(0, first.count())
                .forEach(i -> assertArrayEquals(all.window(i), first.window(i)));
          }
        }
      }
    }
  }

  @Test
  void differencesOfAnotherTokenizerAreTold() {
    TextWindows windows = windows(NONE, 7, 3);
    assertEquals(Optional.empty(), windows.difference(windows(NONE, 7, 3)));
    assertTrue(windows.difference(windows(BOS, 7, 3)).orElseThrow().contains("99"));
    assertEquals(
        "the text is 7 tokens, not 9", windows.difference(windows(NONE, 9, 3)).orElseThrow());
    TextWindows other = new TextWindows(NONE, new int[] {0, 1, 8, 3, 4, 5, 6}, 3);
    assertEquals("token 3 of the text is 2, not 8", windows.difference(other).orElseThrow());
  }

  @Test
  void aWindowThatPredictsNothingIsRefused() {
    assertThrows(IllegalArgumentException.class, () -> windows(NONE, 7, 1));
  }

  private static TextWindows windows(OptionalInt bos, int tokens, int window) {
    return new TextWindows(bos, IntStream.range(0, tokens).toArray(), window);
  }
}
