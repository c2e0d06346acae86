package io.github.mla4j.tokenizer;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** The bytes of text that each token stands for; none for control tokens. Immutable. */
final class TokenBytes {
  private static final char SENTENCE_PIECE_SPACE = '\u2581';
  private static final byte[] BYTE_OF_CHAR = byteLevelAlphabet();

  private final byte[] bytes;
  private final int[] offsets;

  TokenBytes(Vocabulary vocabulary) {
    ByteArrayOutputStream all = new ByteArrayOutputStream(vocabulary.size() * 8);
    offsets = new int[vocabulary.size() + 1];
    for (int id = 0; id < vocabulary.size(); id++) {
      if (!vocabulary.isControl(id)) {
        append(all, vocabulary, id);
      }
      offsets[id + 1] = all.size();
    }
    bytes = all.toByteArray();
  }

  byte[] of(int id) {
    return Arrays.copyOfRange(bytes, offsets[id], offsets[id + 1]);
  }

  void feed(int id, IncrementalDecoder decoder) {
    for (int i = offsets[id]; i < offsets[id + 1]; i++) {
      decoder.accept(bytes[i]);
    }
  }

  private static void append(ByteArrayOutputStream out, Vocabulary vocabulary, int id) {
    if (vocabulary.kind() == Vocabulary.Kind.BYTE_LEVEL && !vocabulary.isUserDefined(id)) {
      byte[] spelled = vocabulary.tokens().bytes(id);
      out.write(spelled, 0, decodeByteLevel(spelled));
      return;
    }
    String spelling = vocabulary.spelling(id);
    if (vocabulary.isByte(id) && spelling.matches("<0x[0-9A-Fa-f]{2}>")) {
      out.write(Integer.parseInt(spelling, 3, 5, 16));
    } else {
      String text =
          vocabulary.isUserDefined(id) ? spelling : spelling.replace(SENTENCE_PIECE_SPACE, ' ');
      out.writeBytes(text.getBytes(StandardCharsets.UTF_8));
    }
  }

  /** In place, from UTF-8; characters that are not of the alphabet stand for themselves. */
  private static int decodeByteLevel(byte[] spelled) {
    int length = 0;
    for (int i = 0; i < spelled.length; i++) {
      int c = spelled[i];
      boolean two = (c & 0xE0) == 0xC0 && i + 1 < spelled.length;
      if (two) {
        c = (c & 0x1F) << 6 | (spelled[i + 1] & 0x3F);
      }
      if (c >= 0 && c < BYTE_OF_CHAR.length && (c == 0x100 || BYTE_OF_CHAR[c] != 0)) {
        spelled[length++] = BYTE_OF_CHAR[c];
        i += two ? 1 : 0;
      } else {
        spelled[length++] = spelled[i];
      }
    }
    return length;
  }

  /**
   * GPT-2's alphabet: a printable Latin-1 character stands for its byte, the other bytes, in order,
   * are spelled by the characters from U+0100 on (so U+0100 is byte 0).
   */
  private static byte[] byteLevelAlphabet() {
    byte[] byteOf = new byte[0x144];
    int next = 0x100;
    for (int b = 0; b < 0x100; b++) {
      boolean printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xFF && b != 0xAD);
      byteOf[printable ? b : next++] = (byte) b;
    }
    return byteOf;
  }
}
