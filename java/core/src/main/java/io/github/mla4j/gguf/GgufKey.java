package io.github.mla4j.gguf;

/**
 * A metadata key as a file declares it.
 *
 * @param type {@link ValueType#ARRAY} for an array
 * @param elementType the type of a scalar, or of an array's elements
 * @param count 1 for a scalar
 */
public record GgufKey(String name, ValueType type, ValueType elementType, long count) {
  public boolean isArray() {
    return type == ValueType.ARRAY;
  }
}
