package io.github.mla4j.convert.train;

import java.util.Arrays;

/**
 * GPT-2's way to write any byte as a printable character, so that a token is an ordinary string:
 * printable bytes stand for themselves, the others follow from U+0100 upwards.
 */
final class ByteAlphabet {
  private static final char[] CHARACTERS = new char[256];
  private static final int[] BYTES = new int[0x200];

  static {
    Arrays.fill(BYTES, -1);
    int next = 0x100;
    for (int b = 0; b < 256; b++) {
      boolean printable =
          (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF);
      CHARACTERS[b] = (char) (printable ? b : next++);
      BYTES[CHARACTERS[b]] = b;
    }
  }

  private ByteAlphabet() {}

  /** The character that stands for byte {@code b}, 0 to 255. */
  static char character(int b) {
    return CHARACTERS[b];
  }

  /**
   * The byte that {@code c} stands for.
   *
   * @throws IllegalArgumentException when it stands for none
   */
  static byte byteOf(char c) {
    if (c >= BYTES.length || BYTES[c] < 0) {
      throw new IllegalArgumentException(
          "character U+%04X is not in the byte alphabet".formatted((int) c));
    }
    return (byte) BYTES[c];
  }
}
