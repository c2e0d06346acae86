package io.github.mla4j.convert.linalg;

import java.nio.FloatBuffer;
import org.bytedeco.javacpp.FloatPointer;

/** A row-major matrix of floats outside the Java heap, where OpenBLAS reads it without a copy. */
public final class FloatMatrix implements AutoCloseable {
  private final int rows;
  private final int columns;
  private final FloatPointer data;
  private final FloatBuffer buffer;

  /** A matrix of unspecified contents. */
  public FloatMatrix(int rows, int columns) {
    this.rows = rows;
    this.columns = columns;
    this.data = new FloatPointer((long) Math.multiplyExact(rows, columns));
    this.buffer = data.asBuffer();
  }

  public int rows() {
    return rows;
  }

  public int columns() {
    return columns;
  }

  /** All elements, row after row; valid until {@link #close}. */
  public FloatBuffer buffer() {
    return buffer;
  }

  /** Copies whole rows in. */
  public void put(int firstRow, float[] values) {
    buffer.put(firstRow * columns, values);
  }

  /** Copies one row out. */
  public void get(int row, float[] out) {
    buffer.get(row * columns, out, 0, columns);
  }

  /** All of it. */
  public Gemm.View view() {
    return columns(0);
  }

  /** The columns from {@code first} on. */
  public Gemm.View columns(int first) {
    return new Gemm.View(data, first, columns);
  }

  /** Frees the memory; the matrix must not be used afterwards. */
  @Override
  public void close() {
    data.close();
  }
}
