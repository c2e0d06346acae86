package io.github.mla4j.convert.heal;

import io.github.mla4j.convert.source.DecoderTensors;
import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.torch.MatrixBlocks;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;

/** A {@link Decoder} and the native memory that it lives on. */
final class DecoderModel implements AutoCloseable {
  private final ModelTensors tensors;
  private final Map<String, Rotation> rotations = new HashMap<>();
  private final Map<String, MatrixBlocks> blocks = new HashMap<>();
  private final Decoder decoder;

  /**
   * @param tensors taken over
   * @param forms of all layers' attention
   * @param positions of the longest sequence
   */
  DecoderModel(
      ModelTensors tensors,
      ModelConfig config,
      List<AttentionForm> forms,
      LatentQuantizer quantizer,
      int positions,
      TorchPlace place) {
    this.tensors = tensors;
    List<DecoderLayer> layers = new ArrayList<>();
    for (int layer = 0; layer < forms.size(); layer++) {
      AttentionForm form = forms.get(layer);
      // Layers with the same frequencies share their tables.
      Rotation rotation =
          rotations.computeIfAbsent(
              Arrays.deepToString(form.frequencies()), key -> new Rotation(form, positions, place));
      String prefix = DecoderTensors.inLayer(layer, "");
      Map<String, Tensor> own = tensors.ofLayer(layer);
      own.keySet()
          .forEach(name -> form.blocks(name).ifPresent(heads -> blocks.put(prefix + name, heads)));
      layers.add(
          new DecoderLayer(
              prefix,
              own,
              new Attention(prefix, form, rotation, own, quantizer),
              config.rmsEpsilon(),
              place.compute()));
    }
    decoder =
        new Decoder(
            tensors.get(DecoderTensors.EMBEDDING),
            List.copyOf(layers),
            new RmsNorm(
                tensors.get(DecoderTensors.OUTPUT_NORM), config.rmsEpsilon(), place.compute()),
            tensors.get(tensors.headName()));
  }

  Decoder decoder() {
    return decoder;
  }

  ModelTensors tensors() {
    return tensors;
  }

  /** The heads of the attentions' matrices, by the matrices' names. */
  Map<String, MatrixBlocks> blocks() {
    return Collections.unmodifiableMap(blocks);
  }

  @Override
  public void close() {
    rotations.values().forEach(Rotation::close);
    tensors.close();
  }
}
