package io.github.mla4j.gguf;

/** Types of metadata values; the order is GGUF's numbering. */
public enum ValueType {
  U8,
  I8,
  U16,
  I16,
  U32,
  I32,
  F32,
  BOOL,
  STRING,
  ARRAY,
  U64,
  I64,
  F64;

  private static final ValueType[] VALUES = values();

  /** The type's number in a file. */
  public int id() {
    return ordinal();
  }

  /** Whether a value of it is a whole number or a truth value. */
  public boolean isInteger() {
    return switch (this) {
      case F32, F64, STRING, ARRAY -> false;
      default -> true;
    };
  }

  /** Whether a value of it is a floating-point number. */
  public boolean isReal() {
    return this == F32 || this == F64;
  }

  static ValueType ofId(int id) {
    return VALUES[id];
  }
}
