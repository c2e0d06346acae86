package io.github.mla4j.convert.output;

import io.github.mla4j.convert.recipe.OutputTensor;
import io.github.mla4j.convert.source.WeightTensor;
import io.github.mla4j.gguf.GgufWriter;
import io.github.mla4j.gguf.TensorType;

/** Writes tensors slice by slice, as stored where the type stays. */
public final class TensorWriter {
  // Elements in memory at a time.
  private static final int SLICE = 1 << 20;

  private final GgufWriter writer;
  private final OutputTypes types;

  public TensorWriter(GgufWriter writer, OutputTypes types) {
    this.writer = writer;
    this.types = types;
  }

  /** Writes one tensor in the type chosen for it. */
  public void write(OutputTensor tensor) {
    WeightTensor data = tensor.data();
    TensorType type = types.of(tensor);
    writer.beginTensor(tensor.name(), type, tensor.dims());
    int step = Math.max(1, SLICE / Math.max(1, data.columns()));
    for (int row = 0; row < data.rows(); row += step) {
      int count = Math.min(step, data.rows() - row);
      if (type == data.type()) {
        byte[] stored = new byte[count * data.rowBytes()];
        data.readStored(row, count, stored, 0);
        writer.appendBytes(stored);
      } else {
        float[] values = new float[count * data.columns()];
        data.read(row, count, values, 0);
        writer.append(values);
      }
    }
  }
}
