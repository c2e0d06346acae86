package io.github.mla4j.convert.recipe;

import io.github.mla4j.convert.source.DecoderTensors;
import io.github.mla4j.convert.source.TensorLookup;
import java.util.ArrayList;
import java.util.List;

/** Tensors that conversion copies: everything besides attention's projections. */
public final class SourceTensors {
  private static final List<String> VECTORS = List.of("attn_norm.weight", "ffn_norm.weight");
  private static final List<String> MATRICES =
      List.of("ffn_gate.weight", "ffn_up.weight", "ffn_down.weight");

  private SourceTensors() {}

  /** Embedding, final norm, and the output matrix where it is not the embedding. */
  public static List<OutputTensor> shared(TensorLookup source) {
    List<OutputTensor> tensors = new ArrayList<>();
    matrix(source, DecoderTensors.EMBEDDING, tensors);
    vector(source, DecoderTensors.OUTPUT_NORM, tensors);
    matrix(source, DecoderTensors.OUTPUT, tensors);
    return tensors;
  }

  /** Norms and MLP of a layer. */
  public static List<OutputTensor> besidesAttention(TensorLookup source, int layer) {
    List<OutputTensor> tensors = new ArrayList<>();
    for (String suffix : VECTORS) {
      vector(source, DecoderTensors.inLayer(layer, suffix), tensors);
    }
    for (String suffix : MATRICES) {
      matrix(source, DecoderTensors.inLayer(layer, suffix), tensors);
    }
    return tensors;
  }

  private static void matrix(TensorLookup source, String name, List<OutputTensor> tensors) {
    source.find(name).ifPresent(tensor -> tensors.add(OutputTensor.weight(name, tensor)));
  }

  private static void vector(TensorLookup source, String name, List<OutputTensor> tensors) {
    source.find(name).ifPresent(tensor -> tensors.add(OutputTensor.vector(name, tensor.readAll())));
  }
}
