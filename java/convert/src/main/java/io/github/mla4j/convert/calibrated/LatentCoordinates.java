package io.github.mla4j.convert.calibrated;

import static org.bytedeco.pytorch.global.torch.cat;
import static org.bytedeco.pytorch.global.torch.diag_embed;
import static org.bytedeco.pytorch.global.torch.linalg_eigh;
import static org.bytedeco.pytorch.global.torch.zeros;

import io.github.mla4j.convert.LatentRotation;
import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.torch.TorchScope;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.T_TensorTensor_T;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Other coordinates of a layer's latent, y = T·(c − μ), in which a cache of a few bits loses least.
 * T goes into the projection that makes the latent, its inverse into the two that read it; the mean
 * cancels in the softmax of the keys and goes through the values into the output's bias.
 *
 * <p>An error e of the latent costs eᵀ M e with M = Σ_g B_k,gᵀ E[q qᵀ] B_k,g / d + B_v,gᵀ (Σ W_oᵀ
 * W_o) B_v,g, so coordinates M^½ c make all errors cost alike. Among them the principal axes of c
 * in falling order put elements of like variance into one group, which has one scale; within a
 * group an orthogonal matrix spreads every axis over all elements, so that none stands out.
 */
final class LatentCoordinates {
  /** Elements that share a scale where the cache is not told otherwise. */
  private static final int GROUP = 32;

  /** Tokens that a low-bit cache keeps exact; a text's first are unlike all others. */
  private static final int LEFT_OUT = 4;

  /**
   * How much more an error of the keys counts, as in {@link LatentFactor}: the balance's square.
   */
  private static final double KEY_SHARE = 4;

  // Of the greatest eigenvalue: what is less is rounding noise and must not be divided by.
  private static final double FLOOR = 1e-9;

  private final ModelConfig config;
  private final LatentRotation rotation;
  private final WindowWorkers workers;

  LatentCoordinates(ModelConfig config, LatentRotation rotation, WindowWorkers workers) {
    this.config = config;
    this.rotation = rotation;
    this.workers = workers;
  }

  LatentAttention change(LatentAttention latent, AttentionInputs inputs) {
    if (rotation == LatentRotation.NONE) {
      return latent;
    }
    List<Tensor> made = TorchScope.nestedAll(() -> changed(latent, inputs));
    return latent.withLatent(made.get(0), made.get(1), made.get(2), made.get(3), made.get(4));
  }

  private List<Tensor> changed(LatentAttention latent, AttentionInputs inputs) {
    Sums sums = measure(latent, inputs);
    Tensor mean = sums.latents.div(new Scalar(sums.tokens));
    Tensor covariance =
        sums.products.div(new Scalar(sums.tokens)).sub_(mean.unsqueeze(1).mul(mean.unsqueeze(0)));
    Tensor keyUp = latent.keyUp().to(ScalarType.Double);
    Tensor valueUp = latent.valueUp().to(ScalarType.Double);
    Tensor queries = sums.queries.div(new Scalar(sums.tokens));
    Tensor values = TorchScope.nested(() -> outputGram(latent));
    List<Tensor> costs = workers.map(2, i -> i == 0 ? cost(keyUp, queries) : cost(valueUp, values));
    Tensor cost = balanced(costs.get(0), costs.get(1), covariance);

    T_TensorTensor_T eigen = linalg_eigh(cost);
    Tensor squares = eigen.get0();
    Tensor floor = squares.narrow(0, squares.size(0) - 1, 1).mul(new Scalar(FLOOR));
    Tensor roots = squares.maximum(floor).sqrt();
    Tensor vectors = eigen.get1();
    Tensor root = vectors.mm(diag_embed(roots)).mm(vectors.t());
    Tensor inverse = vectors.mm(diag_embed(roots.reciprocal())).mm(vectors.t());
    Tensor axes = linalg_eigh(root.mm(covariance).mm(root)).get1().flip(1);
    Tensor principal = axes.t().mm(root);
    Tensor turn = turn(latent, inputs, principal, mean);

    Tensor forward = turn.mm(principal);
    Tensor back = inverse.mm(axes).mm(turn.t());
    Tensor down = forward.mm(latent.down().to(ScalarType.Double));
    Tensor downBias = forward.mv(latent.downBias().to(ScalarType.Double).sub(mean));
    List<Tensor> ups = workers.map(2, i -> single((i == 0 ? keyUp : valueUp).matmul(back)));
    return List.of(
        single(down),
        single(downBias),
        ups.get(0),
        ups.get(1),
        single(latent.outputBias().to(ScalarType.Double).add(ofMean(latent, valueUp, mean))));
  }

  private static Tensor single(Tensor x) {
    return x.to(ScalarType.Float).contiguous();
  }

  /**
   * Sums over tokens.
   *
   * @param latents [C]
   * @param products of latents with latents, [C, C]
   * @param queries products of a KV head's queries with themselves, [kvHeads, d, d]
   */
  private record Sums(long tokens, Tensor latents, Tensor products, Tensor queries) {}

  /** As many windows at a time as there are workers: a wide layer's products are large. */
  private Sums measure(LatentAttention latent, AttentionInputs inputs) {
    List<Tensor> sums = List.of();
    long tokens = 0;
    for (int first = 0; first < inputs.count(); first += workers.count()) {
      int start = first;
      int count = Math.min(workers.count(), inputs.count() - first);
      for (List<Tensor> part :
          workers.mapAll(count, i -> sums(latent, counted(inputs.of(start + i))))) {
        sums = sums.isEmpty() ? part : added(sums, part);
      }
      for (int i = 0; i < count; i++) {
        tokens += counted(inputs.streams().get(start + i)).size(0);
      }
    }
    return new Sums(tokens, sums.get(0), sums.get(1), sums.get(2));
  }

  private List<Tensor> sums(LatentAttention latent, Tensor window) {
    LatentAttention.Observed seen = latent.observe(config, window);
    Tensor c = seen.latent().to(ScalarType.Double);
    Tensor q =
        seen.queries().to(ScalarType.Double).reshape(config.kvHeadCount(), -1, config.headLength());
    return List.of(
        c.sum(new long[] {0}, false, new ScalarTypeOptional()),
        c.t().mm(c),
        q.transpose(1, 2).matmul(q));
  }

  private static List<Tensor> added(List<Tensor> sums, List<Tensor> part) {
    for (int i = 0; i < sums.size(); i++) {
      sums.get(i).add_(part.get(i));
    }
    TorchScope.free(part);
    return sums;
  }

  private static Tensor counted(Tensor window) {
    long t = window.size(0);
    return t > 2 * LEFT_OUT ? window.narrow(0, LEFT_OUT, t - LEFT_OUT) : window;
  }

  /**
   * Σ_g up_gᵀ metric_g up_g, [C, C]: one product of all heads below one another, since a wide
   * layer's [C, C] of every head would be a gigabyte.
   */
  private static Tensor cost(Tensor up, Tensor metric) {
    long width = up.size(2);
    return up.reshape(-1, width).t().mm(metric.matmul(up).reshape(-1, width));
  }

  /** Both costs in one currency: what the latent's own variance costs is the same for both. */
  private static Tensor balanced(Tensor keys, Tensor values, Tensor covariance) {
    double ofKeys = keys.mul(covariance).sum().item_double();
    double ofValues = values.mul(covariance).sum().item_double();
    double factor = ofKeys > 0 && ofValues > 0 ? KEY_SHARE * ofValues / ofKeys : 1;
    return keys.mul(new Scalar(factor)).add_(values);
  }

  /** Σ over a KV head's query heads of W_oᵀ W_o, [kvHeads, d, d]. */
  private Tensor outputGram(LatentAttention latent) {
    Tensor output =
        latent
            .output()
            .to(ScalarType.Double)
            .view(
                config.embeddingLength(),
                config.kvHeadCount(),
                config.groupSize(),
                config.headLength())
            .permute(1, 2, 0, 3)
            .reshape(config.kvHeadCount(), -1, config.headLength());
    return output.transpose(1, 2).matmul(output);
  }

  /** What the mean adds to every output, [D]: a softmax sums to one. */
  private Tensor ofMean(LatentAttention latent, Tensor valueUp, Tensor mean) {
    Tensor values =
        valueUp
            .matmul(mean)
            .view(config.kvHeadCount(), 1, config.headLength())
            .expand(config.kvHeadCount(), config.groupSize(), config.headLength())
            .reshape(-1);
    return latent.output().to(ScalarType.Double).mv(values);
  }

  /** An orthogonal matrix in blocks of a group, [C, C]. */
  private Tensor turn(
      LatentAttention latent, AttentionInputs inputs, Tensor principal, Tensor mean) {
    int length = Math.toIntExact(principal.size(0));
    Tensor turn = zeros(new long[] {length, length}, new TensorOptions(ScalarType.Double));
    Tensor samples =
        rotation == LatentRotation.LEARNED ? samples(latent, inputs, principal, mean) : null;
    for (int begin = 0; begin < length; begin += GROUP) {
      int n = Math.min(GROUP, length - begin);
      Tensor block = EvenRotation.of(n);
      if (samples != null && n > 1) {
        block = GridRotation.learn(samples.narrow(1, begin, n), block);
      }
      turn.narrow(0, begin, n).narrow(1, begin, n).copy_(block);
    }
    return turn;
  }

  /** Latents along the principal axes, [tokens, C]. */
  private Tensor samples(
      LatentAttention latent, AttentionInputs inputs, Tensor principal, Tensor mean) {
    List<Tensor> all = new ArrayList<>();
    for (int w = 0; w < Math.min(8, inputs.count()); w++) {
      Tensor c = latent.observe(config, counted(inputs.of(w))).latent().to(ScalarType.Double);
      all.add(c.sub(mean).mm(principal.t()));
    }
    return cat(new TensorVector(all.toArray(new Tensor[0])), 0);
  }
}
