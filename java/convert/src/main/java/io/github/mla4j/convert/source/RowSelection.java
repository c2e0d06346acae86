package io.github.mla4j.convert.source;

import io.github.mla4j.convert.WeightType;
import java.util.Objects;

/** Some rows of a tensor, in a chosen order, stored as they were. */
public final class RowSelection implements WeightTensor {
  private final WeightTensor base;
  private final int[] rows;

  /**
   * Row i of the result is row {@code rows[i]} of the base.
   *
   * @throws IndexOutOfBoundsException if a row lies outside the base
   */
  public RowSelection(WeightTensor base, int[] rows) {
    this.base = Objects.requireNonNull(base, "base");
    this.rows = rows.clone();
    for (int row : rows) {
      Objects.checkIndex(row, base.rows());
    }
  }

  @Override
  public String name() {
    return base.name();
  }

  @Override
  public WeightType type() {
    return base.type();
  }

  @Override
  public int rows() {
    return rows.length;
  }

  @Override
  public int columns() {
    return base.columns();
  }

  @Override
  public void read(int firstRow, int count, float[] out, int offset) {
    for (int i = 0; i < count; ) {
      int run = 1;
      while (i + run < count && rows[firstRow + i + run] == rows[firstRow + i] + run) {
        run++;
      }
      base.read(rows[firstRow + i], run, out, offset + i * columns());
      i += run;
    }
  }

  @Override
  public void readStored(int row, byte[] out) {
    base.readStored(rows[row], out);
  }
}
