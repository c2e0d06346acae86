package io.github.mla4j.convert.calibrated;

import static org.bytedeco.pytorch.global.torch.cat;

import io.github.mla4j.convert.source.RopeFrequencies;
import org.bytedeco.pytorch.AbstractTensor;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;

/**
 * Rotary positions from 0 on in the halves layout: dims i and i + R/2 turn together. Cosines and
 * sines carry the attention factor (YaRN).
 */
final class Rotation {
  final Tensor cosines; // [T, R/2]
  final Tensor sines; // [T, R/2]

  private Rotation(Tensor cosines, Tensor sines) {
    this.cosines = cosines;
    this.sines = sines;
  }

  static Rotation of(RopeFrequencies rope, long positions) {
    return of(rope.inverse(), rope.attentionFactor(), positions);
  }

  /**
   * @param inverse radians per position of each pair
   */
  static Rotation of(double[] inverse, double factor, long positions) {
    int t = Math.toIntExact(positions);
    float[] cos = new float[t * inverse.length];
    float[] sin = new float[t * inverse.length];
    for (int i = 0; i < cos.length; i++) {
      double angle = i / inverse.length * inverse[i % inverse.length];
      cos[i] = (float) (factor * Math.cos(angle));
      sin[i] = (float) (factor * Math.sin(angle));
    }
    return new Rotation(
        AbstractTensor.create(cos, t, inverse.length),
        AbstractTensor.create(sin, t, inverse.length));
  }

  /**
   * Turns in float32, and gives back the type that it was given.
   *
   * @param x [heads, T, R]
   */
  Tensor rotate(Tensor x) {
    long half = x.size(2) / 2;
    Tensor a = x.narrow(2, 0, half);
    Tensor b = x.narrow(2, half, half);
    return cat(
            new TensorVector(a.mul(cosines).sub(b.mul(sines)), b.mul(cosines).add(a.mul(sines))), 2)
        .to(x.scalar_type());
  }
}
