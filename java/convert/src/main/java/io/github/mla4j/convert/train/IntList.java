package io.github.mla4j.convert.train;

import java.util.Arrays;

/** A growing list of ints without boxing. */
final class IntList {
  private int[] values = new int[1024];
  private int size;

  void add(int value) {
    reserve(1);
    values[size++] = value;
  }

  void addAll(int[] more) {
    reserve(more.length);
    System.arraycopy(more, 0, values, size, more.length);
    size += more.length;
  }

  private void reserve(int count) {
    if (size + count > values.length) {
      values = Arrays.copyOf(values, Math.max(size + count, 2 * values.length));
    }
  }

  int[] toArray() {
    return Arrays.copyOf(values, size);
  }
}
