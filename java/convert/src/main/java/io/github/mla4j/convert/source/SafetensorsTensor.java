package io.github.mla4j.convert.source;

import io.github.mla4j.gguf.TensorType;
import java.nio.ByteBuffer;
import java.util.Objects;

/** F32, F16 or BF16 weights in a safetensors file. */
final class SafetensorsTensor implements WeightTensor {
  // Bytes copied at a time: rows of a large matrix are read in slices.
  private static final int SLICE = 1 << 20;

  private final SafetensorsEntry entry;
  private final TensorType type;
  private final int rows;
  private final int columns;
  private final ReadOnlyFile bytes;

  SafetensorsTensor(
      SafetensorsEntry entry, TensorType type, int rows, int columns, ReadOnlyFile bytes) {
    this.entry = entry;
    this.type = type;
    this.rows = rows;
    this.columns = columns;
    this.bytes = bytes;
  }

  @Override
  public String name() {
    return entry.name();
  }

  @Override
  public TensorType type() {
    return type;
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
    Objects.checkFromIndexSize(firstRow, count, rows);
    int size = type.blockBytes();
    long position = entry.begin() + (long) firstRow * columns * size;
    int left = Math.multiplyExact(count, columns);
    while (left > 0) {
      int run = Math.min(left, SLICE / size);
      widen(bytes.read(position, run * size), run, out, offset);
      position += (long) run * size;
      offset += run;
      left -= run;
    }
  }

  private void widen(ByteBuffer data, int count, float[] out, int offset) {
    switch (type) {
      case F32 -> data.asFloatBuffer().get(out, offset, count);
      case F16 -> {
        for (int i = 0; i < count; i++) {
          out[offset + i] = HalfPrecision.fromF16(data.getShort(2 * i));
        }
      }
      case BF16 -> {
        for (int i = 0; i < count; i++) {
          out[offset + i] = HalfPrecision.fromBf16(data.getShort(2 * i));
        }
      }
      default -> throw new IllegalStateException(name() + ": type " + type);
    }
  }

  @Override
  public void readStored(int firstRow, int count, byte[] out, int offset) {
    Objects.checkFromIndexSize(firstRow, count, rows);
    bytes.read(entry.begin() + (long) firstRow * rowBytes(), out, offset, count * rowBytes());
  }
}
