package io.github.mla4j.convert.heal;

import static org.bytedeco.pytorch.global.torch.cat;

import io.github.mla4j.CacheType;
import io.github.mla4j.convert.torch.TorchScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * What a low-bit cache gives back of a latent, so that a model can learn to live with it. The
 * gradient passes as if nothing was rounded (straight-through, arXiv 1308.3432).
 *
 * <p>Per token, in groups of 32 elements, the last of which may be short: w = scale · q for 8 and 4
 * bits, w = scale · q + minimum for 2, with scale and minimum in f16. The first four tokens of a
 * sequence stay exact, as in the cache.
 */
enum LatentQuantizer {
  /** The latent as it is. */
  NONE,
  INT8,
  INT4,
  INT2;

  private static final int GROUP = 32;
  private static final int SINK = 4;

  static LatentQuantizer of(CacheType type) {
    return switch (type) {
      case F32, F16 -> NONE;
      case INT8 -> INT8;
      case INT4 -> INT4;
      case INT2 -> INT2;
    };
  }

  /**
   * @param latent [batch, T, C]
   */
  Tensor apply(Tensor latent) {
    if (this == NONE) {
      return latent;
    }
    Tensor error = TorchScope.nested(() -> rounded(latent).sub_(latent));
    return latent.add(error);
  }

  private Tensor rounded(Tensor latent) {
    long t = latent.size(1);
    long length = latent.size(2);
    if (t <= SINK) {
      return latent.clone();
    }
    long groups = (length + GROUP - 1) / GROUP;
    Tensor aged = latent.narrow(1, SINK, t - SINK).to(ScalarType.Float);
    // Repeats of the last element change neither a group's largest nor its least.
    Tensor last = aged.narrow(2, length - 1, 1);
    Tensor filled =
        cat(
            new TensorVector(aged, last.expand(aged.size(0), t - SINK, groups * GROUP - length)),
            2);
    Tensor back =
        roundGroups(filled.view(-1, GROUP))
            .view(aged.size(0), t - SINK, groups * GROUP)
            .narrow(2, 0, length);
    return cat(new TensorVector(latent.narrow(1, 0, SINK), back.to(latent.scalar_type())), 1);
  }

  /**
   * @param x [groups, 32]
   */
  private Tensor roundGroups(Tensor x) {
    long[] row = {1};
    if (this == INT2) {
      Tensor least = half(x.amin(row, true));
      Tensor scale = half(x.amax(row, true).sub_(x.amin(row, true)).div_(new Scalar(3)));
      return levels(x.sub(least), scale, 0, 3).mul_(scale).add_(least);
    }
    int largest = this == INT8 ? 127 : 7;
    Tensor scale = half(x.abs().amax(row, true).div_(new Scalar(largest)));
    return levels(x, scale, -largest, largest).mul_(scale);
  }

  private static Tensor half(Tensor x) {
    return x.to(ScalarType.Half).to(ScalarType.Float);
  }

  /** A group of zeros has the scale 0, and levels of 0 as well. */
  private static Tensor levels(Tensor x, Tensor scale, int least, int largest) {
    Tensor inverse = scale.reciprocal();
    Tensor finite = inverse.masked_fill_(scale.eq(new Scalar(0)), new Scalar(0));
    return x.mul(finite)
        .round_()
        .clamp_(new ScalarOptional(new Scalar(least)), new ScalarOptional(new Scalar(largest)));
  }
}
