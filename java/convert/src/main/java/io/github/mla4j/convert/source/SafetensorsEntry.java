package io.github.mla4j.convert.source;

import io.github.mla4j.BadFileException;
import io.github.mla4j.gguf.TensorType;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A tensor as a safetensors header describes it.
 *
 * @param dtype the format's name for the element type
 * @param shape outermost dimension first
 * @param begin first byte, counted from the file's start
 * @param length bytes
 */
record SafetensorsEntry(String name, String dtype, List<Long> shape, long begin, long length) {

  private static final Map<String, Integer> ELEMENT_BYTES =
      Map.ofEntries(
          Map.entry("BOOL", 1),
          Map.entry("U8", 1),
          Map.entry("I8", 1),
          Map.entry("F8_E4M3", 1),
          Map.entry("F8_E5M2", 1),
          Map.entry("I16", 2),
          Map.entry("U16", 2),
          Map.entry("F16", 2),
          Map.entry("BF16", 2),
          Map.entry("I32", 4),
          Map.entry("U32", 4),
          Map.entry("F32", 4),
          Map.entry("I64", 8),
          Map.entry("U64", 8),
          Map.entry("F64", 8));

  /** Bytes an element takes, for the types of the format. */
  static Optional<Integer> elementBytes(String dtype) {
    return Optional.ofNullable(ELEMENT_BYTES.get(dtype));
  }

  /** Elements of the innermost dimension. */
  int columns(String file) {
    return shape.isEmpty() ? 1 : fit(shape.get(shape.size() - 1), file);
  }

  /** Rows of all matrices of a stack; one for a vector. */
  int rows(String file) {
    long rows = 1;
    for (int i = 0; i + 1 < shape.size(); i++) {
      rows *= shape.get(i);
    }
    return fit(rows, file);
  }

  private int fit(long dimension, String file) {
    if (dimension > Integer.MAX_VALUE) {
      throw new BadFileException(
          "%s: tensor '%s' has shape %s: expected at most 2^31 - 1 rows and columns"
              .formatted(file, name, shape));
    }
    return (int) dimension;
  }

  /** The type as that of weights. */
  TensorType weightType(String file) {
    return switch (dtype) {
      case "F32" -> TensorType.F32;
      case "F16" -> TensorType.F16;
      case "BF16" -> TensorType.BF16;
      default ->
          throw new BadFileException(
              "%s: tensor '%s' has type %s: expected F32, F16 or BF16"
                  .formatted(file, name, dtype));
    };
  }
}
