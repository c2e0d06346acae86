package io.github.mla4j.convert.calibrated;

import static org.bytedeco.pytorch.global.torch.cat;
import static org.bytedeco.pytorch.global.torch.linear;
import static org.bytedeco.pytorch.global.torch.zeros;

import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.torch.TorchScope;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * A converted layer's attention as PyTorch computes it; what the engine does after absorbing, and
 * differentiable. The latent is made of z ({@link LatentInput}), of Z elements: x alone, or x and
 * normed keys.
 *
 * @param query [heads · (R + d), D]: a head's R rotary rows, then its d others; the d others alone
 *     where heads are normed whole
 * @param queryBias of the same rows
 * @param whole what heads pass through before they are split, where they are normed
 * @param rotaryKey [G · R, D], of normed keys [G · R, kvHeads · d]
 * @param rotaryKeyBias [G · R]
 * @param frequencies inverse frequencies, [G · R/2]
 * @param down [C, Z]
 * @param downBias [C]
 * @param keyUp [kvHeads, d, C]
 * @param valueUp [kvHeads, d, C]
 * @param output [D, heads · d]
 * @param outputBias [D], the values' bias folded in
 */
record LatentAttention(
    Tensor query,
    Tensor queryBias,
    Optional<WholeHeads> whole,
    Tensor rotaryKey,
    Tensor rotaryKeyBias,
    double[] frequencies,
    Tensor down,
    Tensor downBias,
    Tensor keyUp,
    Tensor valueUp,
    Tensor output,
    Tensor outputBias) {

  static LatentAttention of(
      ModelConfig config, PlainLayer layer, RotaryPart rotary, LatentFactor.Factors factors) {
    // A softmax sums to one, so the values' bias reaches every output with weight one.
    Tensor valueBias =
        layer
            .valueBias
            .view(config.kvHeadCount(), 1, config.headLength())
            .expand(config.kvHeadCount(), config.groupSize(), config.headLength())
            .reshape(1, -1);
    boolean whole = LatentInput.normsHeads(config);
    int heads = config.headCount();
    return new LatentAttention(
        whole ? layer.query : eachHead(heads, rotary.query(), layer.query),
        whole ? layer.queryBias : eachHead(heads, rotary.queryBias(), layer.queryBias),
        whole ? Optional.of(wholeHeads(config, layer, rotary)) : Optional.empty(),
        rotary.key(),
        rotary.keyBias(),
        rotary.frequencies(),
        factors.down(),
        zeros(factors.down().size(0)),
        factors.keyUp(),
        factors.valueUp(),
        layer.output,
        layer.outputBias.add(valueBias.mm(layer.output.t()).squeeze(0)));
  }

  /**
   * Like {@link TorchScope#nested}: what {@code body} gives lives as long as the scope around this
   * call, all else that it makes is freed at once.
   */
  static LatentAttention nested(Supplier<LatentAttention> body) {
    LatentAttention made =
        TorchScope.computeWithoutGradients(
            () -> {
              LatentAttention attention = body.get();
              attention.tensors().forEach(TorchScope::keep);
              return attention;
            });
    made.tensors().forEach(TorchScope::adopt);
    return made;
  }

  private List<Tensor> tensors() {
    Stream<Tensor> always =
        Stream.of(
            query,
            queryBias,
            rotaryKey,
            rotaryKeyBias,
            down,
            downBias,
            keyUp,
            valueUp,
            output,
            outputBias);
    return Stream.concat(always, whole.stream().flatMap(WholeHeads::tensors)).toList();
  }

  /** A head's rows of the one, then its rows of the other. */
  private static Tensor eachHead(int heads, Tensor first, Tensor then) {
    long width = then.dim() == 2 ? then.size(1) : 1;
    long rotary = first.size(0) / heads;
    Tensor both =
        cat(
            new TensorVector(
                first.view(heads, rotary, width), then.view(heads, then.size(0) / heads, width)),
            1);
    return then.dim() == 2 ? both.reshape(-1, width) : both.reshape(-1);
  }

  private static WholeHeads wholeHeads(ModelConfig config, PlainLayer layer, RotaryPart rotary) {
    int d = config.headLength();
    return new WholeHeads(
        layer.queryNorm.orElseThrow(),
        rotary.query().view(config.headCount(), rotary.query().size(0) / config.headCount(), d),
        layer.key,
        layer.keyBias,
        layer.keyNorm.orElseThrow());
  }

  int heads() {
    return Math.toIntExact(output.size(1) / valueUp.size(1));
  }

  int kvHeads() {
    return Math.toIntExact(valueUp.size(0));
  }

  /** R, rotary dims of a query. */
  int ropeDims() {
    return Math.toIntExact(
        whole
            .map(parts -> parts.rotaryQuery().size(1))
            .orElseGet(() -> query.size(0) / heads() - keyUp.size(1)));
  }

  /** G, rotary keys of a token. */
  int ropeGroups() {
    return ropeDims() == 0 ? 1 : Math.toIntExact(rotaryKey.size(0) / ropeDims());
  }

  /** Rotary parts of queries before rotation and the others, and what cached parts are made of. */
  private record Parts(
      Tensor rotaryQuery, Tensor otherQuery, Tensor rotaryInput, Tensor latentInput) {}

  private Parts parts(ModelConfig config, Tensor x) {
    int r = ropeDims();
    int d = config.headLength();
    Tensor q =
        linear(x, query, new TensorOptional(queryBias))
            .view(x.size(0), config.headCount(), -1)
            .transpose(0, 1);
    if (whole.isEmpty()) {
      return new Parts(q.narrow(2, 0, r), q.narrow(2, r, d), x, x);
    }
    WholeHeads heads = whole.get();
    Tensor normed = RmsNorm.of(config, q, heads.queryNorm());
    Tensor keys = heads.keys(config, x);
    return new Parts(
        normed.matmul(heads.rotaryQuery().transpose(1, 2)),
        normed,
        keys,
        LatentInput.beside(x, keys));
  }

  private Tensor latent(Parts parts) {
    return linear(parts.latentInput(), down, new TensorOptional(downBias));
  }

  /**
   * What meets in the latent.
   *
   * @param latent [T, C]
   * @param queries besides rotary parts, [heads, T, d]
   */
  record Observed(Tensor latent, Tensor queries) {}

  /**
   * @param x what the attention reads, [T, D]
   */
  Observed observe(ModelConfig config, Tensor x) {
    Parts parts = parts(config, x);
    return new Observed(latent(parts), parts.otherQuery());
  }

  /** The same with another latent, what makes it and what reads it. */
  LatentAttention withLatent(
      Tensor down, Tensor downBias, Tensor keyUp, Tensor valueUp, Tensor outputBias) {
    return new LatentAttention(
        query,
        queryBias,
        whole,
        rotaryKey,
        rotaryKeyBias,
        frequencies,
        down,
        downBias,
        keyUp,
        valueUp,
        output,
        outputBias);
  }

  /**
   * The same in another type, for a pass that need not be exact; gradients go through to the
   * tensors of this one. It belongs to the {@code TorchScope} around the call.
   */
  LatentAttention in(ScalarType type) {
    return new LatentAttention(
        query.to(type),
        queryBias.to(type),
        whole.map(heads -> heads.in(type)),
        rotaryKey.to(type),
        rotaryKeyBias.to(type),
        frequencies,
        down.to(type),
        downBias.to(type),
        keyUp.to(type),
        valueUp.to(type),
        output.to(type),
        outputBias.to(type));
  }

  /**
   * Multiplies in the type of the matrices.
   *
   * @param read what the attention reads, [T, D]
   * @return what it adds to the residual stream, [T, D]
   */
  Tensor forward(ModelConfig config, Tensor read) {
    Tensor x = read.to(query.scalar_type());
    int r = ropeDims();
    long t = x.size(0);
    int kvHeads = config.kvHeadCount();
    Parts parts = parts(config, x);
    Tensor q = parts.otherQuery();
    Tensor c = latent(parts);
    Tensor k = c.matmul(keyUp.transpose(1, 2));
    Tensor v = c.matmul(valueUp.transpose(1, 2));
    if (r > 0) {
      long groups = rotaryKey.size(0) / r;
      Tensor rotary =
          linear(parts.rotaryInput(), rotaryKey, new TensorOptional(rotaryKeyBias))
              .view(t, groups, r)
              .transpose(0, 1);
      q = cat(new TensorVector(rotate(config, parts.rotaryQuery()), q), 2);
      Tensor shared = rotate(config, rotary).expand(kvHeads, t, r);
      k = cat(new TensorVector(shared, k), 2);
    }
    return linear(SourceMix.apply(config, q, k, v), output, new TensorOptional(outputBias));
  }

  /** Heads in the order of their groups, [heads or groups, T, R]. */
  private Tensor rotate(ModelConfig config, Tensor x) {
    int half = Math.toIntExact(x.size(2) / 2);
    int groups = frequencies.length / half;
    long each = x.size(0) / groups;
    TensorVector turned = new TensorVector();
    for (int g = 0; g < groups; g++) {
      double[] own = Arrays.copyOfRange(frequencies, g * half, (g + 1) * half);
      turned.push_back(
          Rotation.of(own, config.rope().attentionFactor(), x.size(1))
              .rotate(x.narrow(0, g * each, each)));
    }
    return cat(turned, 0);
  }
}
