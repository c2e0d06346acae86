package io.github.mla4j.convert.source;

import io.github.mla4j.gguf.TensorType;
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
  public TensorType type() {
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
    forEachRun(
        firstRow, count, (done, row, run) -> base.read(row, run, out, offset + done * columns()));
  }

  @Override
  public void readStored(int firstRow, int count, byte[] out, int offset) {
    forEachRun(
        firstRow,
        count,
        (done, row, run) -> base.readStored(row, run, out, offset + done * rowBytes()));
  }

  private interface Run {
    void read(int done, int row, int run);
  }

  /** Rows that are neighbours in the base are read together. */
  private void forEachRun(int firstRow, int count, Run action) {
    for (int done = 0; done < count; ) {
      int row = rows[firstRow + done];
      int run = 1;
      while (done + run < count && rows[firstRow + done + run] == row + run) {
        run++;
      }
      action.read(done, row, run);
      done += run;
    }
  }
}
