package io.github.mla4j.convert.heal;

import static org.bytedeco.pytorch.global.torch.cat;
import static org.bytedeco.pytorch.global.torch.where;

import io.github.mla4j.CacheType;
import io.github.mla4j.convert.torch.TorchScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarOptional;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * What a low-bit cache gives back of a latent, so that a model can learn to live with it. The
 * gradient passes as if nothing was rounded (straight-through, arXiv 1308.3432).
 *
 * <p>Per token, in groups of 32 elements, the last of which may be short, by the engine's rule
 * (native/src/cache/group_quantizer.cc): w = scale · q for 8 bits, w = scale · q + minimum for 4
 * and 2, in f16 and fitted to the levels that a few plain ranges give. The first four tokens of a
 * sequence stay exact, as in the cache.
 */
enum LatentQuantizer {
  /** The latent as it is. */
  NONE,
  INT8,
  INT4,
  INT2;

  private static final int GROUP = 32;
  private static final long[] ROW = {1};

  // Of a group's range, as the engine tries them.
  private static final double[] INT4_SHARES = {1, 0.95, 0.9, 0.85};
  private static final double[] INT2_SHARES = {1, 0.88, 0.77, 0.67, 0.58};
  private static final int SINK = 4;

  static LatentQuantizer of(CacheType type) {
    return switch (type) {
      case F32, F16, BF16 -> NONE;
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
    Tensor aged = latent.narrow(1, SINK, t - SINK).to(ScalarType.Float);
    TensorVector parts = new TensorVector();
    long whole = length / GROUP * GROUP;
    if (whole > 0) {
      parts.push_back(roundedGroups(aged.narrow(2, 0, whole), GROUP));
    }
    if (whole < length) {
      parts.push_back(roundedGroups(aged.narrow(2, whole, length - whole), length - whole));
    }
    Tensor back = cat(parts, 2).to(latent.scalar_type());
    return cat(new TensorVector(latent.narrow(1, 0, SINK), back), 1);
  }

  private Tensor roundedGroups(Tensor x, long width) {
    Tensor groups = x.reshape(-1, width);
    Tensor rounded =
        switch (this) {
          case NONE -> groups;
          case INT8 -> int8(groups);
          case INT4 -> range(groups, 15, INT4_SHARES);
          case INT2 -> range(groups, 3, INT2_SHARES);
        };
    return rounded.view(x.size(0), x.size(1), x.size(2));
  }

  private static Tensor int8(Tensor x) {
    Tensor scale = half(x.abs().amax(ROW, true).div_(new Scalar(127)));
    return levels(x, inverse(scale), -127, 127).mul_(scale);
  }

  private static Tensor range(Tensor x, int mostLevel, double[] tried) {
    double count = x.size(1);
    Tensor low = x.amin(ROW, true);
    Tensor range = x.amax(ROW, true).sub_(low);
    Tensor middle = low.add(range.mul(new Scalar(0.5)));
    Tensor mean = rowSum(x).div_(new Scalar(count));
    Tensor bestScale = range.div(new Scalar(mostLevel));
    Tensor bestMinimum = low;
    Tensor mostExplained = range.mul(new Scalar(0));
    for (double share : tried) {
      Tensor from = middle.sub(range.mul(new Scalar(0.5 * share)));
      Tensor step = range.mul(new Scalar(share / mostLevel));
      Tensor levels = levels(x.sub(from), inverse(step), 0, mostLevel);
      Tensor sum = rowSum(levels);
      Tensor along = rowSum(x.sub(mean).mul_(levels));
      Tensor spread = rowSum(levels.square()).sub_(sum.square().div_(new Scalar(count)));
      Tensor explained = along.square().mul_(inverse(spread));
      Tensor better = explained.gt(mostExplained);
      Tensor scale = along.mul(inverse(spread));
      bestScale = where(better, scale, bestScale);
      bestMinimum = where(better, mean.sub(scale.mul(sum).div_(new Scalar(count))), bestMinimum);
      mostExplained = where(better, explained, mostExplained);
    }
    Tensor scale = half(bestScale);
    Tensor minimum = half(bestMinimum);
    return levels(x.sub(minimum), inverse(scale), 0, mostLevel).mul_(scale).add_(minimum);
  }

  private static Tensor rowSum(Tensor x) {
    return x.sum(ROW, true, new ScalarTypeOptional());
  }

  private static Tensor half(Tensor x) {
    return x.to(ScalarType.Half).to(ScalarType.Float);
  }

  /** One over x, and 0 for 0: a group of zeros has the scale 0, and levels of 0 as well. */
  private static Tensor inverse(Tensor x) {
    return x.reciprocal().masked_fill_(x.eq(new Scalar(0)), new Scalar(0));
  }

  private static Tensor levels(Tensor x, Tensor inverse, int least, int largest) {
    return x.mul(inverse)
        .clamp_(new ScalarOptional(new Scalar(least)), new ScalarOptional(new Scalar(largest)))
        .round_();
  }
}
