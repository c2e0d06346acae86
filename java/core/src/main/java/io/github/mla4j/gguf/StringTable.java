package io.github.mla4j.gguf;

import java.nio.charset.StandardCharsets;
import java.util.AbstractList;
import java.util.Arrays;
import java.util.List;

/** Many strings as one array of UTF-8 bytes: no object for each. Immutable. */
public final class StringTable {
  private final byte[] bytes;
  private final long[] offsets;

  /** Takes over both arrays; string i is bytes[offsets[i] .. offsets[i + 1]). */
  StringTable(byte[] bytes, long[] offsets) {
    this.bytes = bytes;
    this.offsets = offsets;
  }

  /** How many strings there are. */
  public int size() {
    return offsets.length - 1;
  }

  /** String i; bytes that are not UTF-8 become U+FFFD. */
  public String get(int i) {
    int start = start(i);
    return new String(bytes, start, start(i + 1) - start, StandardCharsets.UTF_8);
  }

  /** A copy of string i's bytes. */
  public byte[] bytes(int i) {
    return Arrays.copyOfRange(bytes, start(i), start(i + 1));
  }

  /** A list of all strings, each decoded when it is asked for. */
  public List<String> asList() {
    return new AbstractList<>() {
      @Override
      public String get(int i) {
        return StringTable.this.get(i);
      }

      @Override
      public int size() {
        return StringTable.this.size();
      }
    };
  }

  List<String> toList() {
    return List.copyOf(asList());
  }

  private int start(int i) {
    return (int) offsets[i];
  }
}
