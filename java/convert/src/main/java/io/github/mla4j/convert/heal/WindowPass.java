package io.github.mla4j.convert.heal;

import static org.bytedeco.pytorch.global.torch.embedding_dense_backward;

import io.github.mla4j.convert.source.DecoderTensors;
import io.github.mla4j.convert.torch.TorchScope;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Optional;
import org.bytedeco.pytorch.Tensor;

/** One pass of the student over a few sequences, forward and backward. Not thread-safe. */
final class WindowPass implements AutoCloseable {
  private final Decoder decoder;
  private final Tensor ids;
  private final Tensor embedded;
  private final Deque<DecoderLayer.Trace> traces = new ArrayDeque<>();

  /**
   * Runs forward.
   *
   * @param ids [batch, T] of int64
   */
  WindowPass(Decoder decoder, Tensor ids) {
    this.decoder = decoder;
    this.ids = ids;
    this.embedded = TorchScope.nested(() -> decoder.embed(ids));
    int batch = Math.toIntExact(ids.size(0));
    for (DecoderLayer layer : decoder.layers()) {
      traces.push(layer.trace(last(), batch));
    }
  }

  private Tensor last() {
    return traces.isEmpty() ? embedded : traces.peek().after();
  }

  /** What the head reads, [batch · T, D]. */
  Tensor state() {
    return TorchScope.nested(
        () -> decoder.outputNorm().apply(last(), decoder.outputNorm().inverse(last())));
  }

  /**
   * Runs backward, once.
   *
   * @param byState the gradient by {@link #state}
   * @param streams whose gradient comes on top, where the teacher's are known
   * @param gradients added to
   */
  void backward(Tensor byState, Optional<StreamLoss> streams, Gradients gradients) {
    RmsNorm norm = decoder.outputNorm();
    Tensor inverse = TorchScope.nested(() -> norm.inverse(last()));
    if (gradients.wants(DecoderTensors.OUTPUT_NORM)) {
      gradients.add(
          DecoderTensors.OUTPUT_NORM,
          TorchScope.nested(() -> norm.weightGradient(last(), inverse, byState)));
    }
    Tensor byStream = TorchScope.nested(() -> norm.backward(last(), inverse, byState));
    for (int layer = decoder.layers().size() - 1; layer >= 0; layer--) {
      int index = layer;
      try (DecoderLayer.Trace trace = traces.pop()) {
        streams.ifPresent(loss -> loss.addGradient(index, trace.after(), byStream));
        decoder.layers().get(layer).backward(trace, last(), byStream, gradients);
      }
    }
    if (gradients.wants(DecoderTensors.EMBEDDING)) {
      gradients.add(
          DecoderTensors.EMBEDDING,
          TorchScope.nested(
              () ->
                  embedding_dense_backward(
                      byStream, ids.reshape(-1), decoder.embedding().size(0), -1, false)));
    }
  }

  @Override
  public void close() {
    traces.forEach(DecoderLayer.Trace::close);
    traces.clear();
  }
}
