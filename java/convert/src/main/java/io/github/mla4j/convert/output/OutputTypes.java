package io.github.mla4j.convert.output;

import io.github.mla4j.convert.recipe.OutputTensor;
import io.github.mla4j.gguf.TensorType;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Chooses the type that each tensor is stored as: norms and biases as F32, factors as F16, the
 * source's matrices as they are or as wished, new ones in their place like them but with no fewer
 * bits than Q8_0, since those bits were spent on other values. F32 is wished for everything. A row
 * that is not a whole number of blocks takes the nearest type that holds it.
 */
public final class OutputTypes {
  private final Optional<TensorType> wish;
  private final Map<TensorType, Integer> replaced = new LinkedHashMap<>();

  /**
   * @param wish for the matrices; empty keeps the type of each
   */
  public OutputTypes(Optional<TensorType> wish) {
    this.wish = wish;
  }

  TensorType of(OutputTensor tensor) {
    if (tensor.role() == OutputTensor.Role.VECTOR) {
      return TensorType.F32;
    }
    if (tensor.role() == OutputTensor.Role.FACTOR) {
      return wish.filter(type -> type == TensorType.F32).orElse(TensorType.F16);
    }
    TensorType wanted = wish.orElseGet(() -> unwished(tensor));
    TensorType fitting = fit(wanted, tensor.data().columns());
    if (fitting != wanted) {
      replaced.merge(fitting, 1, Integer::sum);
    }
    return fitting;
  }

  private static TensorType unwished(OutputTensor tensor) {
    boolean quantized = tensor.like().blockElements() > 1;
    return tensor.role() == OutputTensor.Role.DERIVED && quantized
        ? TensorType.Q8_0
        : tensor.like();
  }

  private static TensorType fit(TensorType type, int columns) {
    if (columns % type.blockElements() == 0) {
      return type;
    }
    return switch (type) {
      case Q3_K, IQ4_XS -> fit(TensorType.IQ4_NL, columns);
      case Q4_K -> fit(TensorType.Q4_1, columns);
      case Q5_K -> fit(TensorType.Q5_1, columns);
      case Q6_K -> fit(TensorType.Q8_0, columns);
      default -> TensorType.F16;
    };
  }

  /** What could not be as wished, in words. */
  public List<String> notes() {
    List<String> notes = new ArrayList<>();
    replaced.forEach(
        (type, count) ->
            notes.add(
                "%d tensors are stored as %s: their rows are not whole blocks of %s"
                    .formatted(count, type, wish.map(Enum::name).orElse("their type"))));
    return notes;
  }
}
