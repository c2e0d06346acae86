package io.github.mla4j.convert.source;

import io.github.mla4j.convert.WeightType;

/**
 * A matrix [rows, columns] of weights, read by rows; a vector is one row. Immutable: any thread, as
 * long as its source is open.
 */
public interface WeightTensor {

  /** The name in its source, for messages. */
  String name();

  /** How its rows are stored. */
  WeightType type();

  int rows();

  int columns();

  /**
   * Reads rows as floats, dequantized.
   *
   * @param out receives {@code count · columns} values from {@code offset} on
   */
  void read(int firstRow, int count, float[] out, int offset);

  /** Reads one row as it is stored: {@code type().rowBytes(columns())} bytes to {@code out}. */
  void readStored(int row, byte[] out);

  /** All rows as floats, row after row. */
  default float[] readAll() {
    float[] all = new float[Math.multiplyExact(rows(), columns())];
    read(0, rows(), all, 0);
    return all;
  }
}
