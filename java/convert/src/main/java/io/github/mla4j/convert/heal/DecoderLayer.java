package io.github.mla4j.convert.heal;

import io.github.mla4j.convert.torch.TorchScope;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** A decoder layer, forward and backward. Any thread; a {@link Trace} belongs to one. */
final class DecoderLayer {
  private static final String ATTENTION_NORM = "attn_norm.weight";
  private static final String FEED_FORWARD_NORM = "ffn_norm.weight";

  private final String prefix;
  private final Attention attention;
  private final FeedForward feedForward;
  private final RmsNorm attentionNorm;
  private final RmsNorm feedForwardNorm;
  private final ScalarType compute;

  /**
   * @param prefix of the tensors' names in the model, "blk.N."
   * @param tensors the layer's, by their names without it
   */
  DecoderLayer(
      String prefix,
      Map<String, Tensor> tensors,
      Attention attention,
      double epsilon,
      ScalarType compute) {
    this.prefix = prefix;
    this.attention = attention;
    this.feedForward = new FeedForward(prefix, tensors);
    this.attentionNorm = new RmsNorm(tensors.get(ATTENTION_NORM), epsilon, compute);
    this.feedForwardNorm = new RmsNorm(tensors.get(FEED_FORWARD_NORM), epsilon, compute);
    this.compute = compute;
  }

  /**
   * Without a trace for gradients.
   *
   * @param stream the residual stream, [batch · T, D] in float32; changed in place
   */
  void forward(Tensor stream, int batch) {
    TorchScope.runWithoutGradients(
        () -> {
          Tensor x = attentionNorm.apply(stream, attentionNorm.inverse(stream));
          stream.add_(attention.forward(x, batch));
          Tensor y = feedForwardNorm.apply(stream, feedForwardNorm.inverse(stream));
          stream.add_(feedForward.output(feedForward.inner(y)));
        });
  }

  /**
   * What a backward pass needs of a forward pass; owns its tensors.
   *
   * @param between the stream after the attention
   * @param after the stream after the layer
   */
  record Trace(
      Tensor beforeInverse,
      Attention.Trace attention,
      Tensor between,
      Tensor betweenInverse,
      FeedForward.Inner inner,
      Tensor after)
      implements AutoCloseable {

    private List<Tensor> tensors() {
      return List.of(beforeInverse, between, betweenInverse, inner.gated(), inner.raised(), after);
    }

    @Override
    public void close() {
      attention.close();
      tensors().forEach(TorchScope::release);
    }
  }

  /**
   * @param before the residual stream, [batch · T, D] in float32
   * @return a trace that the caller closes
   */
  Trace trace(Tensor before, int batch) {
    return TorchScope.computeWithoutGradients(
        () -> {
          Tensor beforeInverse = attentionNorm.inverse(before);
          Attention.Trace attended =
              attention.trace(attentionNorm.apply(before, beforeInverse), batch);
          Tensor between = before.add(attention.output(attended));
          Tensor betweenInverse = feedForwardNorm.inverse(between);
          FeedForward.Inner inner =
              feedForward.inner(feedForwardNorm.apply(between, betweenInverse));
          Tensor after = between.add(feedForward.output(inner));
          Trace trace = new Trace(beforeInverse, attended, between, betweenInverse, inner, after);
          trace.tensors().forEach(TorchScope::keep);
          return trace;
        });
  }

  /**
   * Turns the gradient by the stream after the layer into that by the stream before it.
   *
   * @param before what the trace was made of
   * @param byStream [batch · T, D] in float32, changed in place
   * @param gradients added to
   */
  void backward(Trace trace, Tensor before, Tensor byStream, Gradients gradients) {
    TorchScope.runWithoutGradients(
        () -> {
          Tensor between = trace.between;
          Tensor inverse = trace.betweenInverse;
          Tensor byY =
              feedForward.backward(
                  () -> feedForwardNorm.apply(between, inverse),
                  trace.inner,
                  byStream.to(compute),
                  gradients);
          if (gradients.wants(prefix + FEED_FORWARD_NORM)) {
            gradients.add(
                prefix + FEED_FORWARD_NORM, feedForwardNorm.weightGradient(between, inverse, byY));
          }
          byStream.add_(feedForwardNorm.backward(between, inverse, byY));
          Tensor byX = attention.backward(trace.attention, byStream.to(compute), gradients);
          if (gradients.wants(prefix + ATTENTION_NORM)) {
            gradients.add(
                prefix + ATTENTION_NORM,
                attentionNorm.weightGradient(before, trace.beforeInverse, byX));
          }
          byStream.add_(attentionNorm.backward(before, trace.beforeInverse, byX));
        });
  }

  /** Whether the tensor of this name, without the layer's prefix, is the attention's own. */
  static boolean isAttention(String name) {
    return name.startsWith("attn_") && !name.equals(ATTENTION_NORM);
  }
}
