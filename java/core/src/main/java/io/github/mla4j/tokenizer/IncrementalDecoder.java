package io.github.mla4j.tokenizer;

/**
 * UTF-8 bytes to text as they come, never splitting a character: an incomplete one is held back
 * until its last byte arrives. Bytes that cannot be UTF-8 become U+FFFD, one for each maximal part
 * of a character, as the Unicode standard recommends. Not thread-safe.
 */
public final class IncrementalDecoder {
  private static final char REPLACEMENT = '\uFFFD';

  private final StringBuilder text = new StringBuilder();
  private int codePoint;
  private int missing;
  private int lowest = 0x80; // of the next continuation byte
  private int highest = 0xBF;

  /** A decoder at the beginning of a text. */
  public IncrementalDecoder() {}

  /** Takes one byte. */
  public void accept(byte next) {
    int b = next & 0xFF;
    if (missing > 0) {
      if (b >= lowest && b <= highest) {
        continueCharacter(b);
        return;
      }
      finish();
    }
    begin(b);
  }

  /** Whether a character waits for more bytes. */
  public boolean isIncomplete() {
    return missing > 0;
  }

  /** Ends the text: an incomplete character becomes U+FFFD. */
  public void finish() {
    if (missing > 0) {
      text.append(REPLACEMENT);
      expect(0, 0x80, 0xBF);
    }
  }

  /** The text since the last call, without an incomplete character at its end. */
  public String take() {
    if (text.isEmpty()) {
      return "";
    }
    String taken = text.toString();
    text.setLength(0);
    return taken;
  }

  /** Moves the text since the last call to the end of {@code target}. */
  public void takeInto(StringBuilder target) {
    target.append(text);
    text.setLength(0);
  }

  private void begin(int b) {
    if (b < 0x80) {
      text.append((char) b);
    } else if (b >= 0xC2 && b <= 0xDF) {
      codePoint = b & 0x1F;
      expect(1, 0x80, 0xBF);
    } else if (b >= 0xE0 && b <= 0xEF) {
      codePoint = b & 0x0F;
      expect(2, b == 0xE0 ? 0xA0 : 0x80, b == 0xED ? 0x9F : 0xBF);
    } else if (b >= 0xF0 && b <= 0xF4) {
      codePoint = b & 0x07;
      expect(3, b == 0xF0 ? 0x90 : 0x80, b == 0xF4 ? 0x8F : 0xBF);
    } else {
      text.append(REPLACEMENT);
    }
  }

  private void continueCharacter(int b) {
    codePoint = codePoint << 6 | b & 0x3F;
    expect(missing - 1, 0x80, 0xBF);
    if (missing == 0) {
      text.appendCodePoint(codePoint);
    }
  }

  private void expect(int bytes, int from, int to) {
    missing = bytes;
    lowest = from;
    highest = to;
  }
}
