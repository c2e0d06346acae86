package io.github.mla4j.convert.heal;

import static org.bytedeco.pytorch.global.torch.cat;
import static org.bytedeco.pytorch.global.torch.grad;
import static org.bytedeco.pytorch.global.torch.linear;
import static org.bytedeco.pytorch.global.torch.rms_norm;

import io.github.mla4j.convert.torch.CausalMix;
import io.github.mla4j.convert.torch.TorchScope;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.AutoGradMode;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.DoubleOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * A layer's attention over whole sequences: what the engine computes from its cache, with keys and
 * values formed again from the latent, forward and backward, for plain and converted layers alike.
 * What makes queries, keys and values of the input is differentiated by PyTorch. Any thread; a
 * {@link Trace} belongs to one.
 */
final class Attention {
  private static final String WEIGHT = ".weight";
  private static final String BIAS = ".bias";
  private static final String OUTPUT = "attn_output";
  private static final String Q_NORM = "attn_q_norm.weight";
  private static final String K_NORM = "attn_k_norm.weight";
  private static final String Q_ROPE = "attn_q_rope.weight";

  // In the order of the cached row.
  private static final List<String> LATENT_PARTS =
      List.of("attn_kv_a", "attn_k_a", "attn_k_nope", "attn_v_a", "attn_v");

  private final String prefix;
  private final AttentionForm form;
  private final Rotation rotation;
  private final Map<String, Tensor> tensors;
  private final LatentQuantizer quantizer;
  private final CausalMix mix;

  /**
   * @param prefix of the tensors' names in the model, "blk.N."
   * @param tensors the layer's, by their names without it; matrices as the file has them
   * @param quantizer what the cache makes of a latent
   */
  Attention(
      String prefix,
      AttentionForm form,
      Rotation rotation,
      Map<String, Tensor> tensors,
      LatentQuantizer quantizer) {
    this.prefix = prefix;
    this.form = form;
    this.rotation = rotation;
    this.tensors = tensors;
    this.quantizer = quantizer;
    this.mix = new CausalMix(1 / Math.sqrt(form.headLength()), form.window());
  }

  /**
   * What softmax attention reads: queries, keys, values, their heads as {@link CausalMix} wants.
   */
  private record Inputs(Tensor q, Tensor k, Tensor v) {}

  /**
   * What a backward pass needs of a forward pass; owns its tensors.
   *
   * @param x what the attention read, the leaf of the graph of {@code inputs}
   * @param joined heads side by side, [batch · T, heads · d]
   */
  record Trace(Tensor x, Inputs inputs, CausalMix.Mixed mixed, Tensor joined)
      implements AutoCloseable {

    private List<Tensor> tensors() {
      List<Tensor> all =
          new ArrayList<>(List.of(x, inputs.q, inputs.k, inputs.v, mixed.attended(), joined));
      all.addAll(mixed.weights());
      return all;
    }

    @Override
    public void close() {
      tensors().forEach(TorchScope::release);
    }
  }

  /**
   * Without a trace for gradients.
   *
   * @param x what the attention reads, [batch · T, D]
   * @return what it adds to the residual stream, [batch · T, D]
   */
  Tensor forward(Tensor x, int batch) {
    return TorchScope.nested(
        () -> {
          Inputs inputs = inputs(x.view(batch, -1, x.size(1)));
          return output(joined(mix.forward(inputs.q, inputs.k, inputs.v), batch));
        });
  }

  /** With a trace, which the caller closes; {@link #output} is made of it. */
  Trace trace(Tensor x, int batch) {
    return TorchScope.computeWithoutGradients(
        () -> {
          Tensor leaf = x.view(batch, -1, x.size(1)).detach().requires_grad_(true);
          Inputs inputs = withGradients(leaf);
          CausalMix.Mixed mixed =
              mix.forward(inputs.q.detach(), inputs.k.detach(), inputs.v.detach());
          Trace trace = new Trace(leaf, inputs, mixed, joined(mixed, batch));
          trace.tensors().forEach(TorchScope::keep);
          return trace;
        });
  }

  @SuppressWarnings("try") // the mode is there to be closed
  private Inputs withGradients(Tensor x) {
    try (AutoGradMode mode = new AutoGradMode(true)) {
      return inputs(x);
    }
  }

  /** What a traced attention adds to the residual stream, [batch · T, D]. */
  Tensor output(Trace trace) {
    return output(trace.joined);
  }

  private Tensor output(Tensor joined) {
    return project(joined, OUTPUT);
  }

  /**
   * The gradient by what the attention read, [batch · T, D].
   *
   * @param byOutput the gradient by what it added
   * @param gradients those by tensors that are trained are added to it
   */
  Tensor backward(Trace trace, Tensor byOutput, Gradients gradients) {
    if (gradients.wants(prefix + OUTPUT + WEIGHT)) {
      gradients.add(prefix + OUTPUT + WEIGHT, byOutput.t().mm(trace.joined));
    }
    if (gradients.wants(prefix + OUTPUT + BIAS)) {
      gradients.add(prefix + OUTPUT + BIAS, byOutput.sum(0));
    }
    Inputs inputs = trace.inputs;
    CausalMix.Derivative derivative =
        mix.backward(
            inputs.q,
            inputs.k,
            inputs.v,
            trace.mixed,
            parted(byOutput.mm(tensors.get(OUTPUT + WEIGHT)), trace.mixed.attended()));
    return throughInputs(trace, derivative, gradients);
  }

  private Tensor throughInputs(Trace trace, CausalMix.Derivative derivative, Gradients gradients) {
    List<String> trained = new ArrayList<>();
    TensorVector leaves = new TensorVector(trace.x);
    tensors.forEach(
        (name, tensor) -> {
          if (DecoderLayer.isAttention(name)
              && !name.startsWith(OUTPUT)
              && gradients.wants(prefix + name)) {
            trained.add(prefix + name);
            leaves.push_back(tensor);
          }
        });
    TensorVector results =
        grad(
            new TensorVector(trace.inputs.q, trace.inputs.k, trace.inputs.v),
            leaves,
            new TensorVector(derivative.byQueries(), derivative.byKeys(), derivative.byValues()),
            new BoolOptional(),
            false,
            false);
    for (int i = 0; i < trained.size(); i++) {
      gradients.add(trained.get(i), new Tensor(results.get(i + 1L)));
    }
    return results.get(0).view(-1, trace.x.size(2));
  }

  /** Heads side by side: [batch · kvHeads, group, T, d] to [batch · T, heads · d]. */
  private Tensor joined(CausalMix.Mixed mixed, int batch) {
    Tensor heads = mixed.attended();
    return heads
        .view(batch, form.heads(), heads.size(2), heads.size(3))
        .transpose(1, 2)
        .reshape(batch * heads.size(2), form.heads() * heads.size(3));
  }

  /** The way back of {@link #joined}. */
  private Tensor parted(Tensor joined, Tensor like) {
    return joined
        .view(like.size(0) / form.kvHeads(), like.size(2), form.heads(), like.size(3))
        .transpose(1, 2)
        .reshape(like.shape());
  }

  /**
   * @param x [batch, T, D]
   */
  private Inputs inputs(Tensor x) {
    long batch = x.size(0);
    long t = x.size(1);
    Tensor rotaryInput = x;
    Tensor latentInput = x;
    if (form.splitsNormedHeads()) {
      rotaryInput = wholeKeys(x);
      latentInput = cat(new TensorVector(x, rotaryInput), 2);
    }
    Map<String, Tensor> latent = latent(latentInput);
    long rows = batch * form.kvHeads();
    return new Inputs(
        queries(x).reshape(rows, form.groupSize(), t, form.queryLength()),
        keys(rotaryInput, latent).reshape(rows, t, form.queryLength()),
        values(latent).reshape(rows, t, -1));
  }

  /** Normed keys of all heads, [batch, T, kvHeads · d]. */
  private Tensor wholeKeys(Tensor x) {
    return normed(heads(project(x, "attn_k_in"), form.kvHeads()), K_NORM)
        .transpose(1, 2)
        .reshape(x.size(0), x.size(1), -1);
  }

  /** Normed heads with their rotary parts, which are made of them, before them. */
  private Tensor splitQueries(Tensor normed) {
    if (form.ropeDims() == 0) {
      return normed;
    }
    Tensor rotary =
        tensors.get(Q_ROPE).view(form.heads(), form.ropeDims(), form.headLength()).transpose(1, 2);
    return cat(new TensorVector(rotation.rotate(normed.matmul(rotary)), normed), 3);
  }

  private Tensor queries(Tensor x) {
    Tensor q = heads(project(x, "attn_q"), form.heads());
    if (form.splitsNormedHeads()) {
      return splitQueries(normed(q, Q_NORM));
    }
    return form.normsAfterRotation() ? normed(rotated(q), Q_NORM) : rotated(normed(q, Q_NORM));
  }

  /**
   * @param x what rotary keys are made of, [batch, T, any]
   * @return [batch, kvHeads, T, R + n]
   */
  private Tensor keys(Tensor x, Map<String, Tensor> latent) {
    TensorVector parts = new TensorVector();
    boolean norms = tensors.containsKey(K_NORM) && !form.splitsNormedHeads();
    boolean normedFirst = norms && !form.normsAfterRotation();
    if (form.ropeDims() > 0) {
      Tensor rotary = heads(project(x, "attn_k"), form.ropeGroups());
      Tensor turned = normedFirst ? rotary : rotation.rotate(rotary);
      parts.push_back(turned.expand(x.size(0), form.kvHeads(), x.size(1), form.ropeDims()));
    }
    if (form.otherDims() > 0) {
      parts.push_back(otherKeys(latent));
    }
    Tensor k = norms ? normed(cat(parts, 3), K_NORM) : cat(parts, 3);
    return normedFirst ? rotated(k) : k;
  }

  private Tensor otherKeys(Map<String, Tensor> latent) {
    if (latent.containsKey("attn_k_nope")) {
      return heads(latent.get("attn_k_nope"), form.kvHeads());
    }
    // Stored as it is absorbed, a head's [C, n].
    Tensor up =
        tensors
            .get("attn_k_b.weight")
            .view(form.kvHeads(), -1, form.otherDims())
            .transpose(1, 2)
            .reshape((long) form.kvHeads() * form.otherDims(), -1);
    return heads(linear(either(latent, "attn_k_a"), up), form.kvHeads());
  }

  private Tensor values(Map<String, Tensor> latent) {
    Tensor v =
        latent.containsKey("attn_v")
            ? latent.get("attn_v")
            : linear(either(latent, "attn_v_a"), tensors.get("attn_v_b.weight"));
    return heads(v, form.kvHeads());
  }

  /** A latent of its own, or the one that keys and values have together. */
  private static Tensor either(Map<String, Tensor> latent, String own) {
    return latent.containsKey(own) ? latent.get(own) : latent.get("attn_kv_a");
  }

  /** The parts of the latent that the layer has, as the cache gives them back, [batch, T, part]. */
  private Map<String, Tensor> latent(Tensor x) {
    Map<String, Tensor> parts = new LinkedHashMap<>();
    for (String part : LATENT_PARTS) {
      if (tensors.containsKey(part + WEIGHT)) {
        parts.put(part, project(x, part));
      }
    }
    if (quantizer == LatentQuantizer.NONE) {
      return parts;
    }
    Tensor whole = quantizer.apply(cat(new TensorVector(parts.values().toArray(Tensor[]::new)), 2));
    long begin = 0;
    for (Map.Entry<String, Tensor> part : parts.entrySet()) {
      long width = part.getValue().size(2);
      part.setValue(whole.narrow(2, begin, width));
      begin += width;
    }
    return parts;
  }

  private Tensor project(Tensor x, String module) {
    Tensor bias = tensors.get(module + BIAS);
    Tensor weight = tensors.get(module + WEIGHT);
    return bias == null ? linear(x, weight) : linear(x, weight, new TensorOptional(bias));
  }

  /** [batch, T, count · any] to [batch, count, T, any]. */
  private static Tensor heads(Tensor x, int count) {
    return x.view(x.size(0), x.size(1), count, -1).transpose(1, 2);
  }

  /** Turns the first R dims of every head. */
  private Tensor rotated(Tensor x) {
    if (form.ropeDims() == 0) {
      return x;
    }
    Tensor turned = rotation.rotate(x.narrow(3, 0, form.ropeDims()));
    return form.otherDims() == 0
        ? turned
        : cat(new TensorVector(turned, x.narrow(3, form.ropeDims(), form.otherDims())), 3);
  }

  /** RMS-normed heads, with one weight vector for all or one each; as they are where none is. */
  private Tensor normed(Tensor x, String name) {
    Tensor weight = tensors.get(name);
    if (weight == null) {
      return x;
    }
    long length = x.size(3);
    Tensor normed =
        rms_norm(
            x.to(ScalarType.Float),
            new long[] {length},
            new TensorOptional(),
            new DoubleOptional(form.normEpsilon()));
    return normed.mul(weight.view(-1, 1, length)).to(x.scalar_type());
  }
}
