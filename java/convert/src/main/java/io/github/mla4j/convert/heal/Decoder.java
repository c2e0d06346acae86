package io.github.mla4j.convert.heal;

import io.github.mla4j.convert.torch.TorchScope;
import java.util.List;
import java.util.function.Consumer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * A decoder over whole sequences, plain or converted. Borrows its tensors. Any thread.
 *
 * @param embedding [V, D]
 * @param layers from the first to the last
 * @param outputNorm before the head
 * @param head [V, D]; the embedding itself where they are tied
 */
record Decoder(Tensor embedding, List<DecoderLayer> layers, RmsNorm outputNorm, Tensor head) {

  /**
   * The residual stream at the beginning, [batch · T, D] in float32.
   *
   * @param ids [batch, T] of int64
   */
  Tensor embed(Tensor ids) {
    return torch.embedding(embedding, ids.reshape(-1)).to(ScalarType.Float);
  }

  /**
   * Runs forward without a trace for gradients.
   *
   * @param ids [batch, T] of int64
   * @param streamAfter told of the residual stream after every layer, [batch · T, D] in float32,
   *     which the next layer changes
   * @return what the head reads, [batch · T, D]
   */
  Tensor lastState(Tensor ids, Consumer<Tensor> streamAfter) {
    return TorchScope.nested(
        () -> {
          int batch = Math.toIntExact(ids.size(0));
          Tensor stream = embed(ids);
          for (DecoderLayer layer : layers) {
            layer.forward(stream, batch);
            streamAfter.accept(stream);
          }
          return outputNorm.apply(stream, outputNorm.inverse(stream));
        });
  }
}
