package io.github.mla4j.gguf;

import java.util.List;

/**
 * A tensor as a file declares it.
 *
 * @param dims the contiguous dimension first: a matrix of [rows, columns] has dims (columns, rows)
 * @param byteSize bytes of its data
 */
public record GgufTensor(String name, TensorType type, List<Long> dims, long byteSize) {
  public GgufTensor {
    dims = List.copyOf(dims);
  }

  /** How many elements it has. */
  public long elements() {
    return dims.stream().reduce(1L, Math::multiplyExact);
  }

  /** Elements of a row: the contiguous dimension. */
  public long columns() {
    return dims.isEmpty() ? 1 : dims.get(0);
  }
}
