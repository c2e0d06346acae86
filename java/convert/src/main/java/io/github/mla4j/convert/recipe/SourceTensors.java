package io.github.mla4j.convert.recipe;

import io.github.mla4j.convert.SourceFormatException;
import io.github.mla4j.convert.source.DecoderTensors;
import io.github.mla4j.convert.source.TensorLookup;
import java.util.ArrayList;
import java.util.List;

/** Tensors that conversion copies: everything besides attention's projections. */
final class SourceTensors {
  private static final List<String> VECTORS = List.of("attn_norm.weight", "ffn_norm.weight");
  private static final List<String> MATRICES =
      List.of("ffn_gate.weight", "ffn_up.weight", "ffn_down.weight");

  private SourceTensors() {}

  static List<OutputTensor> shared(TensorLookup source) throws SourceFormatException {
    List<OutputTensor> tensors = new ArrayList<>();
    matrix(source, DecoderTensors.EMBEDDING, tensors);
    vector(source, DecoderTensors.OUTPUT_NORM, tensors);
    matrix(source, DecoderTensors.OUTPUT, tensors);
    return tensors;
  }

  static List<OutputTensor> besidesAttention(TensorLookup source, int layer)
      throws SourceFormatException {
    List<OutputTensor> tensors = new ArrayList<>();
    for (String suffix : VECTORS) {
      vector(source, DecoderTensors.inLayer(layer, suffix), tensors);
    }
    for (String suffix : MATRICES) {
      matrix(source, DecoderTensors.inLayer(layer, suffix), tensors);
    }
    return tensors;
  }

  private static void matrix(TensorLookup source, String name, List<OutputTensor> tensors)
      throws SourceFormatException {
    source.find(name).ifPresent(tensor -> tensors.add(OutputTensor.weight(name, tensor)));
  }

  private static void vector(TensorLookup source, String name, List<OutputTensor> tensors)
      throws SourceFormatException {
    source.find(name).ifPresent(tensor -> tensors.add(OutputTensor.vector(name, tensor.readAll())));
  }
}
