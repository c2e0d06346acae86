package io.github.mla4j.convert.torch;

import static org.bytedeco.pytorch.global.torch.cat;

import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.AbstractTensor;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;

/**
 * Rotary positions in the halves layout of Hugging Face: dimension {@code i} of a head turns with
 * dimension {@code i + d/2} by the angle {@code position * frequency[i]}, usually {@code position /
 * theta^(2i/d)}.
 *
 * <p>Holds the cosines and sines of all positions up to the context length.
 */
public final class RotaryTable implements AutoCloseable {
  private final int positions;
  private final Tensor cosines; // [positions, headDim / 2]
  private final Tensor sines; // [positions, headDim / 2]

  /** A table for the usual frequencies, those of the base {@code theta}. */
  public RotaryTable(int positions, int headDim, double theta) {
    this(
        positions,
        IntStream.range(0, headDim / 2).mapToDouble(i -> Math.pow(theta, -2.0 * i / headDim)));
  }

  /** A table for any frequencies, in radians per position, one for each pair of dimensions. */
  public RotaryTable(int positions, float[] frequencies) {
    this(positions, IntStream.range(0, frequencies.length).mapToDouble(i -> frequencies[i]));
  }

  private RotaryTable(int positions, DoubleStream frequencies) {
    this.positions = positions;
    double[] turns = frequencies.toArray();
    int half = turns.length;
    float[] cos = new float[positions * half];
    float[] sin = new float[positions * half];
    for (int p = 0; p < positions; p++) {
      for (int i = 0; i < half; i++) {
        double angle = p * turns[i];
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
