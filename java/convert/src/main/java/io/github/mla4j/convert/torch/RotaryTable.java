package io.github.mla4j.convert.torch;

import static org.bytedeco.pytorch.global.torch.cat;

import org.bytedeco.pytorch.AbstractTensor;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;

/**
 * Rotary positions in the halves layout of Hugging Face: dimension {@code i} of a head turns with
 * dimension {@code i + d/2} by the angle {@code position / theta^(2i/d)}.
 *
 * <p>Holds the cosines and sines of all positions up to the context length.
 */
public final class RotaryTable implements AutoCloseable {
  private final int positions;
  private final Tensor cosines; // [positions, headDim / 2]
  private final Tensor sines; // [positions, headDim / 2]

  public RotaryTable(int positions, int headDim, double theta) {
    this.positions = positions;
    int half = headDim / 2;
    float[] cos = new float[positions * half];
    float[] sin = new float[positions * half];
    for (int p = 0; p < positions; p++) {
      for (int i = 0; i < half; i++) {
        double angle = p * Math.pow(theta, -2.0 * i / headDim);
        cos[p * half + i] = (float) Math.cos(angle);
        sin[p * half + i] = (float) Math.sin(angle);
      }
    }
    cosines = TorchScope.keep(AbstractTensor.create(cos, positions, half));
    sines = TorchScope.keep(AbstractTensor.create(sin, positions, half));
  }

  /**
   * Turns every head by its position, the first being position 0.
   *
   * @param x [batch, heads, length, headDim]
   * @return the same shape
   */
  public Tensor rotate(Tensor x) {
    long length = x.size(2);
    if (length > positions) {
      throw new IllegalArgumentException(
          "sequence of %d tokens, expected at most %d".formatted(length, positions));
    }
    Tensor cos = cosines.narrow(0, 0, length);
    Tensor sin = sines.narrow(0, 0, length);
    TensorVector halves = x.chunk(2, -1);
    Tensor first = halves.get(0);
    Tensor second = halves.get(1);
    return cat(
        new TensorVector(first.mul(cos).sub(second.mul(sin)), second.mul(cos).add(first.mul(sin))),
        -1);
  }

  @Override
  public void close() {
    TorchScope.release(cosines);
    TorchScope.release(sines);
  }
}
