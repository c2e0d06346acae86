package io.github.mla4j.convert.calibrated;

import java.util.List;
import org.bytedeco.pytorch.Tensor;

/**
 * What a layer's attention reads, window by window: residual streams, normed when asked for. Kept,
 * they would take as much memory as the streams, and a norm costs little beside what reads it.
 *
 * @param streams before the layer, [T, D] a window
 */
record AttentionInputs(PlainLayer layer, List<Tensor> streams) {

  /** Windows. */
  int count() {
    return streams.size();
  }

  /** Of a window, [T, D]; it belongs to the {@code TorchScope} around the call. */
  Tensor of(int window) {
    return layer.attentionInput(streams.get(window));
  }

  Tensor last() {
    return of(count() - 1);
  }

  /** Of the first windows alone. */
  AttentionInputs first(int windows) {
    return new AttentionInputs(layer, streams.subList(0, windows));
  }
}
