package io.github.mla4j.convert.heal;

import static org.bytedeco.pytorch.global.torch.cat;

import io.github.mla4j.convert.torch.TorchScope;
import org.bytedeco.pytorch.AbstractTensor;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Rotary positions from 0 on: dims i and i + R/2 of a group turn together. A group has a table of
 * its own, or all share one. Tables are kept until closed.
 */
final class Rotation implements AutoCloseable {
  private final int tables;
  private final Tensor cosines; // [tables, 1, T, R/2]
  private final Tensor sines; // [tables, 1, T, R/2]

  Rotation(AttentionForm form, int positions, TorchPlace place) {
    tables = form.frequencies().length;
    int half = form.ropeDims() / 2;
    float[] cos = new float[tables * positions * half];
    float[] sin = new float[cos.length];
    for (int i = 0; i < cos.length; i++) {
      int position = i / half % positions;
      double angle = position * form.frequencies()[i / half / positions][i % half];
      cos[i] = (float) (form.rotaryFactor() * Math.cos(angle));
      sin[i] = (float) (form.rotaryFactor() * Math.sin(angle));
    }
    cosines = table(cos, positions, half, place);
    sines = table(sin, positions, half, place);
  }

  private Tensor table(float[] values, int positions, int half, TorchPlace place) {
    return TorchScope.computeWithoutGradients(
        () ->
            TorchScope.keep(
                place.place(
                    AbstractTensor.create(values, tables, 1, positions, half), ScalarType.Float)));
  }

  /**
   * @param x [batch, heads, T, R], heads in the order of their groups
   * @return the same in the same type
   */
  Tensor rotate(Tensor x) {
    long heads = x.size(1);
    long t = x.size(2);
    long half = x.size(3) / 2;
    Tensor grouped = x.reshape(x.size(0), tables, heads / tables, t, 2 * half);
    Tensor a = grouped.narrow(4, 0, half);
    Tensor b = grouped.narrow(4, half, half);
    Tensor c = cosines.narrow(2, 0, t);
    Tensor s = sines.narrow(2, 0, t);
    return cat(new TensorVector(a.mul(c).sub(b.mul(s)), b.mul(c).add(a.mul(s))), 4)
        .to(x.scalar_type())
        .view(x.size(0), heads, t, 2 * half);
  }

  @Override
  public void close() {
    TorchScope.release(cosines);
    TorchScope.release(sines);
  }
}
