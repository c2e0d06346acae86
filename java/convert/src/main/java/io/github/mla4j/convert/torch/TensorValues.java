package io.github.mla4j.convert.torch;

import org.bytedeco.pytorch.Tensor;

/** Copies a tensor's elements to the Java heap. */
public final class TensorValues {
  private TensorValues() {}

  /** All elements of a float32 tensor, row by row. */
  public static float[] floats(Tensor tensor) {
    float[] values = new float[Math.toIntExact(tensor.numel())];
    TorchScope.runWithoutGradients(() -> tensor.contiguous().data_ptr_float().get(values));
    return values;
  }
}
