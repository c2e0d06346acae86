package io.github.mla4j.convert.source;

import io.github.mla4j.gguf.Gguf;
import io.github.mla4j.gguf.GgufTensor;
import io.github.mla4j.gguf.TensorType;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;

/** A tensor of an open GGUF file. */
public final class StoredTensor implements WeightTensor {
  private final Gguf file;
  private final GgufTensor tensor;

  public StoredTensor(Gguf file, GgufTensor tensor) {
    this.file = file;
    this.tensor = tensor;
  }

  @Override
  public String name() {
    return tensor.name();
  }

  @Override
  public TensorType type() {
    return tensor.type();
  }

  @Override
  public int rows() {
    return Math.toIntExact(tensor.elements() / Math.max(1, tensor.columns()));
  }

  @Override
  public int columns() {
    return Math.toIntExact(tensor.columns());
  }

  @Override
  public void read(int firstRow, int count, float[] out, int offset) {
    file.readFloats(
        name(), (long) firstRow * columns(), FloatBuffer.wrap(out, offset, count * columns()));
  }

  @Override
  public void readStored(int firstRow, int count, byte[] out, int offset) {
    file.readBytes(
        name(), (long) firstRow * rowBytes(), ByteBuffer.wrap(out, offset, count * rowBytes()));
  }
}
