package io.github.mla4j.convert.calibrated;

import static org.bytedeco.pytorch.global.torch.cat;
import static org.bytedeco.pytorch.global.torch.einsum;
import static org.bytedeco.pytorch.global.torch.softmax;
import static org.bytedeco.pytorch.global.torch.zeros;

import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.torch.LargeSum;
import io.github.mla4j.convert.torch.TorchScope;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.bytedeco.pytorch.AbstractTensor;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * What a layer's attention does on the calibration windows, to second order. Errors of scores cost,
 * as KL divergence between attention distributions, half their variance over the softmax; so
 * everything here is a covariance over the keys that a query sees, weighted by its softmax.
 */
final class AttentionStatistics {
  /** Queries of a window whose softmax weighs the keys' inputs. */
  private static final int QUERIES = 24;

  /** Those of them that the components' covariance, which costs more, is taken over. */
  private static final int COMPONENT_QUERIES = 4;

  /** Of many windows fewer each, about so many in all. */
  private static final int COMPONENT_QUERIES_IN_ALL = 96;

  /** The first positions see too few keys to tell anything. */
  private static final int EARLIEST = 32;

  private final ModelConfig config;
  private final PlainLayer layer;
  private final List<ComponentBlock> blocks;
  private final List<ComponentBasis> bases;
  private final int componentQueries;
  private final List<Tensor> components = new ArrayList<>();
  private long componentSamples;
  private int windows;
  private final Tensor inputs;
  private final Tensor attendedInputs;
  private final Tensor queries;

  /**
   * The tensors belong to the {@code TorchScope} around the constructor.
   *
   * @param expected windows in all, at least 1
   */
  AttentionStatistics(
      ModelConfig config,
      PlainLayer layer,
      List<ComponentBlock> blocks,
      List<ComponentBasis> bases,
      int expected) {
    this.config = config;
    this.layer = layer;
    this.blocks = blocks;
    this.bases = bases;
    this.componentQueries =
        Math.max(
            1,
            Math.min(COMPONENT_QUERIES, Math.round((float) COMPONENT_QUERIES_IN_ALL / expected)));
    int d = config.headLength();
    long width = LatentInput.length(config);
    for (ComponentBlock block : blocks) {
      components.add(doubles(3L * block.components(), 3L * block.components()));
    }
    inputs = doubles(width, width);
    attendedInputs = doubles(width, width);
    queries = doubles(config.kvHeadCount(), d, d);
  }

  private static Tensor doubles(long... shape) {
    return zeros(shape, new TensorOptions(ScalarType.Double));
  }

  /**
   * M of a block, [3N, 3N] for N components: E over queries and heads of the covariance of the
   * scores' parts. A component has three, side by side in runs of N: Re of its rotated score, and
   * Re and Im of its score without rotation.
   */
  Tensor components(int block) {
    return components.get(block).div(new Scalar(componentSamples / blocks.size()));
  }

  /** C = E[z zᵀ], [Z, Z], z being the latent's input ({@link LatentInput}). */
  Tensor inputs() {
    return inputs.div(new Scalar(windows));
  }

  /** C_k = E over queries of the covariance of z over their softmax, [Z, Z]. */
  Tensor attendedInputs() {
    return attendedInputs.div(new Scalar(windows));
  }

  /** E[q qᵀ] of each KV head's queries before rotation, [kvHeads, d, d]. */
  Tensor queries() {
    return queries.div(new Scalar(windows));
  }

  /**
   * Adds a window.
   *
   * @param x what the attention reads, [T, D]
   * @param seed of the queries that are sampled
   */
  void add(Tensor x, long seed) {
    TorchScope.runWithoutGradients(() -> accumulate(x, new Random(seed)));
    windows++;
  }

  /** The sums, for {@link #merge}. */
  List<Tensor> sums() {
    List<Tensor> sums = new ArrayList<>(components);
    sums.addAll(List.of(inputs, attendedInputs, queries));
    return sums;
  }

  /**
   * Adds what another one of the same layer has seen.
   *
   * @param sums the other's, which may have outlived its scope
   */
  void merge(AttentionStatistics other, List<Tensor> sums) {
    List<Tensor> own = sums();
    for (int i = 0; i < own.size(); i++) {
      own.get(i).add_(sums.get(i));
    }
    windows += other.windows;
    componentSamples += other.componentSamples;
  }

  private void accumulate(Tensor x, Random random) {
    int t = Math.toIntExact(x.size(0));
    Tensor q = layer.queries(x);
    Tensor k = layer.keys(x);
    Tensor z = LatentInput.of(config, x, k);
    LargeSum.add(inputs, z.t().mm(z), new Scalar(1.0 / t));
    Tensor rows = q.reshape(config.kvHeadCount(), -1, config.headLength());
    LargeSum.add(queries, rows.transpose(1, 2).matmul(rows), new Scalar(1.0 / rows.size(1)));

    long[] at = sample(t, random);
    Tensor p = softmaxRows(q, k, at);
    Tensor mean = p.matmul(z).reshape(-1, LatentInput.length(config));
    Tensor weight = p.sum(0, 1).unsqueeze(1);
    LargeSum.add(
        attendedInputs,
        z.mul(weight).t().mm(z).sub_(mean.t().mm(mean)),
        new Scalar(1.0 / mean.size(0)));
    for (int b = 0; b < blocks.size(); b++) {
      accumulateComponents(b, q, k, p, at);
    }
  }

  private static long[] sample(int t, Random random) {
    int first = Math.min(EARLIEST, t / 2);
    return random
        .ints(first, t)
        .distinct()
        .limit(Math.min(QUERIES, t - first))
        .asLongStream()
        .toArray();
  }

  /** Attention of the sampled queries, [heads, queries, T]. */
  private Tensor softmaxRows(Tensor q, Tensor k, long[] at) {
    Rotation rotation = Rotation.of(config.rope(), q.size(1));
    Tensor rows = AbstractTensor.create(at, at.length);
    Tensor scores =
        rotation
            .rotate(q)
            .index_select(1, rows)
            .matmul(SourceMix.everyHead(config, rotation.rotate(k)).transpose(1, 2))
            .mul_(new Scalar(1 / Math.sqrt(config.headLength())));
    return softmax(scores.add_(SourceMix.mask(config, q.size(1)).index_select(0, rows)), -1);
  }

  private void accumulateComponents(int b, Tensor q, Tensor k, Tensor p, long[] at) {
    ComponentBlock block = blocks.get(b);
    ComponentBasis basis = bases.get(b);
    int f = block.frequencies();
    double factor = config.rope().attentionFactor();
    Rotation turn = Rotation.of(config.rope().inverse(), 1, q.size(1));
    Complex keys = Complex.halves(k.narrow(0, block.firstKvHead(), block.kvHeads()), f);
    Complex c = components(basis, keys); // [T, B, F]
    Complex turning = new Complex(turn.cosines.unsqueeze(1), turn.sines.unsqueeze(1));
    Complex turned = c.times(turning);
    Complex queries = Complex.halves(q, f); // [heads, T, F]
    int count = Math.min(componentQueries, at.length);
    Tensor sum = components.get(b);
    for (int i = 0; i < count; i++) {
      int m = (int) at[i];
      int query = i;
      Complex back =
          new Complex(turn.cosines.select(0, m), turn.sines.select(0, m))
              .conjugate()
              .times(factor * factor);
      int firstHead = block.firstKvHead() * config.groupSize();
      for (int h = firstHead; h < firstHead + block.kvHeads() * config.groupSize(); h++) {
        int head = h;
        TorchScope.run(
            () -> {
              int own = head / config.groupSize() - block.firstKvHead();
              Complex qm =
                  new Complex(
                          queries.real().select(0, head).select(0, m),
                          queries.imaginary().select(0, head).select(0, m))
                      .conjugate()
                      .times(1 / Math.sqrt(config.headLength()));
              // u_{f,j} of this head, [B, F]: the query side of every component.
              Complex w =
                  qm.times(
                      new Complex(
                          basis.real().select(1, own).t(), basis.imaginary().select(1, own).t()));
              Complex wBack = w.times(back);
              long seen = m + 1L;
              Tensor scores =
                  cat(
                      new TensorVector(
                          wBack.realOfProduct(turned.first(seen)),
                          w.realOfProduct(c.first(seen)),
                          w.imaginaryOfProduct(c.first(seen))),
                      1);
              Tensor t = scores.view(seen, 3L * block.components());
              Tensor weights = p.select(0, head).select(0, query).narrow(0, 0, seen);
              Tensor centred = t.sub(weights.unsqueeze(0).mm(t)).mul_(weights.sqrt().unsqueeze(1));
              sum.add_(centred.t().mm(centred).to(ScalarType.Double));
            });
        componentSamples++;
      }
    }
  }

  /** c_{f,j} = Σ_g conj(U[f, g, j]) k_{g,f}, as [T, B, F]. */
  private static Complex components(ComponentBasis basis, Complex keys) {
    Tensor rr = einsum("fgj,gtf->tjf", new TensorVector(basis.real(), keys.real()));
    Tensor ii = einsum("fgj,gtf->tjf", new TensorVector(basis.imaginary(), keys.imaginary()));
    Tensor ri = einsum("fgj,gtf->tjf", new TensorVector(basis.real(), keys.imaginary()));
    Tensor ir = einsum("fgj,gtf->tjf", new TensorVector(basis.imaginary(), keys.real()));
    return new Complex(rr.add(ii), ri.sub(ir));
  }
}
