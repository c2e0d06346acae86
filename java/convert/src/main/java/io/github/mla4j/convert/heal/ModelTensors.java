package io.github.mla4j.convert.heal;

import io.github.mla4j.convert.source.DecoderTensors;
import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.source.TensorLookup;
import io.github.mla4j.convert.source.WeightTensor;
import io.github.mla4j.convert.torch.Parameters;
import io.github.mla4j.convert.torch.TorchScope;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.stream.Stream;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * A model's tensors in the types that they are computed with: norms in float32, all else in the
 * compute type. Those that are trained have a float32 original beside them. Owns its tensors. Not
 * thread-safe; reading tensors that do not change is.
 */
final class ModelTensors implements AutoCloseable {
  private static final int COMPARED_ROWS = 256;

  // What a layer may have, whatever its attention's form (native/README.md).
  private static final List<String> OF_A_LAYER =
      Stream.concat(
              Stream.of(
                  "attn_norm.weight",
                  "attn_q_norm.weight",
                  "attn_k_norm.weight",
                  "attn_q_rope.weight",
                  "attn_k_b.weight",
                  "attn_v_b.weight",
                  "ffn_norm.weight",
                  "ffn_gate.weight",
                  "ffn_up.weight",
                  "ffn_down.weight"),
              Stream.of(
                      "attn_q",
                      "attn_k",
                      "attn_k_in",
                      "attn_kv_a",
                      "attn_k_a",
                      "attn_k_nope",
                      "attn_v_a",
                      "attn_v",
                      "attn_output")
                  .flatMap(module -> Stream.of(module + ".weight", module + ".bias")))
          .toList();

  private final TorchPlace place;
  private final Map<String, Tensor> tensors = new LinkedHashMap<>();
  private final Parameters trained = new Parameters();

  private ModelTensors(TorchPlace place) {
    this.place = place;
  }

  /** Of the teacher. */
  static ModelTensors of(TensorLookup source, ModelConfig config, TorchPlace place) {
    ModelTensors model = new ModelTensors(place);
    names(source, config).forEach(name -> model.freeze(name, source.tensor(name)));
    return model;
  }

  /**
   * Of the student.
   *
   * @param trains which tensors are trained, by name
   */
  static ModelTensors of(
      TensorLookup source, ModelConfig config, TorchPlace place, Predicate<String> trains) {
    return student(source, config, place, trains, name -> Optional.empty());
  }

  /**
   * The same, with a teacher at hand.
   *
   * @param teacher whose tensors are used again where they are stored alike
   */
  static ModelTensors of(
      TensorLookup source,
      ModelConfig config,
      TorchPlace place,
      Predicate<String> trains,
      TensorLookup teacherSource,
      ModelTensors teacher) {
    return student(
        source,
        config,
        place,
        trains,
        name ->
            teacherSource
                .find(name)
                .filter(theirs -> storedAlike(source.tensor(name), theirs))
                .map(theirs -> teacher.get(name)));
  }

  private static ModelTensors student(
      TensorLookup source,
      ModelConfig config,
      TorchPlace place,
      Predicate<String> trains,
      Function<String, Optional<Tensor>> atHand) {
    ModelTensors model = new ModelTensors(place);
    for (String name : names(source, config)) {
      Optional<Tensor> same = trains.test(name) ? Optional.empty() : atHand.apply(name);
      if (trains.test(name)) {
        model.train(name, source.tensor(name));
      } else if (same.isPresent()) {
        model.tensors.put(name, TorchScope.keep(same.get()));
      } else {
        model.freeze(name, source.tensor(name));
      }
    }
    return model;
  }

  private static List<String> names(TensorLookup source, ModelConfig config) {
    Stream.Builder<String> names = Stream.builder();
    names.add(DecoderTensors.EMBEDDING).add(DecoderTensors.OUTPUT_NORM).add(DecoderTensors.OUTPUT);
    for (int layer = 0; layer < config.blockCount(); layer++) {
      for (String name : OF_A_LAYER) {
        names.add(DecoderTensors.inLayer(layer, name));
      }
    }
    return names.build().filter(name -> source.find(name).isPresent()).toList();
  }

  private static boolean storedAlike(WeightTensor a, WeightTensor b) {
    if (a.type() != b.type() || a.rows() != b.rows() || a.columns() != b.columns()) {
      return false;
    }
    for (int row = 0; row < a.rows(); row += COMPARED_ROWS) {
      int count = Math.min(COMPARED_ROWS, a.rows() - row);
      if (!Arrays.equals(stored(a, row, count), stored(b, row, count))) {
        return false;
      }
    }
    return true;
  }

  private static byte[] stored(WeightTensor tensor, int row, int count) {
    byte[] bytes = new byte[count * tensor.rowBytes()];
    tensor.readStored(row, count, bytes, 0);
    return bytes;
  }

  private void freeze(String name, WeightTensor weight) {
    tensors.put(name, load(name, weight, type(name)));
  }

  private void train(String name, WeightTensor weight) {
    Tensor original = load(name, weight, ScalarType.Float);
    trained.add(name, original);
    ScalarType type = type(name);
    tensors.put(
        name,
        type == ScalarType.Float
            ? original
            : TorchScope.computeWithoutGradients(
                () -> TorchScope.keep(original.detach().to(type).requires_grad_(true))));
  }

  private Tensor load(String name, WeightTensor weight, ScalarType type) {
    boolean vector = isNorm(name) || name.endsWith(".bias");
    return TorchScope.computeWithoutGradients(
        () -> {
          Tensor matrix = place.load(weight, type);
          return TorchScope.keep(vector ? matrix.reshape(-1) : matrix);
        });
  }

  private ScalarType type(String name) {
    return isNorm(name) ? ScalarType.Float : place.compute();
  }

  private static boolean isNorm(String name) {
    return name.endsWith("norm.weight");
  }

  /** What is trained, in float32. */
  Parameters trained() {
    return trained;
  }

  /** Brings what is computed with up to the originals that were trained. */
  void refresh() {
    TorchScope.runWithoutGradients(
        () -> trained.all().forEach((name, original) -> refresh(name, original)));
  }

  private void refresh(String name, Tensor original) {
    if (type(name) != ScalarType.Float) {
      tensors.get(name).copy_(original);
    }
  }

  Tensor get(String name) {
    return tensors.get(name);
  }

  /** The matrix before the softmax, by name: the embedding where they are tied. */
  String headName() {
    return tensors.containsKey(DecoderTensors.OUTPUT)
        ? DecoderTensors.OUTPUT
        : DecoderTensors.EMBEDDING;
  }

  /** A layer's tensors by their names without "blk.N.". */
  Map<String, Tensor> ofLayer(int layer) {
    Map<String, Tensor> own = new LinkedHashMap<>();
    for (String name : OF_A_LAYER) {
      Tensor tensor = tensors.get(DecoderTensors.inLayer(layer, name));
      if (tensor != null) {
        own.put(name, tensor);
      }
    }
    return own;
  }

  @Override
  public void close() {
    tensors.forEach(
        (name, tensor) -> {
          boolean isOriginal = trained.all().containsKey(name) && type(name) == ScalarType.Float;
          if (!isOriginal) {
            TorchScope.release(tensor);
          }
        });
    tensors.clear();
    trained.close();
  }
}
