package io.github.mla4j.convert.source;

import io.github.mla4j.gguf.TensorType;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** A tensor in memory. It keeps the array it is given. */
public final class FloatTensor implements WeightTensor {
  private final String name;
  private final int rows;
  private final int columns;
  private final float[] values;

  /** A matrix; {@code values} holds {@code rows · columns} elements, row after row. */
  public FloatTensor(String name, int rows, int columns, float[] values) {
    if (values.length != Math.multiplyExact(rows, columns)) {
      throw new IllegalArgumentException(
          "%s: %d values for %d x %d".formatted(name, values.length, rows, columns));
    }
    this.name = name;
    this.rows = rows;
    this.columns = columns;
    this.values = values;
  }

  /** A vector. */
  public FloatTensor(String name, float[] values) {
    this(name, 1, values.length, values);
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public TensorType type() {
    return TensorType.F32;
  }

  @Override
  public int rows() {
    return rows;
  }

  @Override
  public int columns() {
    return columns;
  }

  @Override
  public void read(int firstRow, int count, float[] out, int offset) {
    System.arraycopy(values, firstRow * columns, out, offset, count * columns);
  }

  @Override
  public void readStored(int firstRow, int count, byte[] out, int offset) {
    ByteBuffer.wrap(out, offset, count * rowBytes())
        .order(ByteOrder.LITTLE_ENDIAN)
        .asFloatBuffer()
        .put(values, firstRow * columns, count * columns);
  }
}
