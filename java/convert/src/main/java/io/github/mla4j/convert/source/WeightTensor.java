package io.github.mla4j.convert.source;

import io.github.mla4j.gguf.TensorType;

/**
 * A matrix [rows, columns] of weights, read by rows; a vector is one row. Immutable: any thread, as
 * long as its source is open.
 */
public interface WeightTensor {

  /** The name in its source, for messages. */
  String name();

  /** How its rows are stored. */
  TensorType type();

  int rows();

  int columns();

  /**
   * Reads rows as floats, dequantized.
   *
   * @param out receives {@code count · columns} values from {@code offset} on
   */
  void read(int firstRow, int count, float[] out, int offset);

  /**
   * Reads rows as they are stored.
   *
   * @param out receives {@code count · rowBytes()} bytes from {@code offset} on
   */
  void readStored(int firstRow, int count, byte[] out, int offset);

  /** Bytes that a row takes. */
  default int rowBytes() {
    return Math.toIntExact((long) columns() / type().blockElements() * type().blockBytes());
  }

  /** All rows as floats, row after row. */
  default float[] readAll() {
    float[] all = new float[Math.multiplyExact(rows(), columns())];
    read(0, rows(), all, 0);
    return all;
  }
}
