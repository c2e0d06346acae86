package io.github.mla4j.gguf;

import io.github.mla4j.MlaException;
import io.github.mla4j.Status;

/** Element types of tensors, with GGUF's numbers and block sizes. */
public enum TensorType {
  F32(0, 1, 4),
  F16(1, 1, 2),
  Q4_0(2, 32, 18),
  Q4_1(3, 32, 20),
  Q5_0(6, 32, 22),
  Q5_1(7, 32, 24),
  Q8_0(8, 32, 34),
  Q3_K(11, 256, 110),
  Q4_K(12, 256, 144),
  Q5_K(13, 256, 176),
  Q6_K(14, 256, 210),
  IQ4_NL(20, 32, 18),
  IQ4_XS(23, 256, 136),
  BF16(30, 1, 2);

  private final int id;
  private final int blockElements;
  private final int blockBytes;

  TensorType(int id, int blockElements, int blockBytes) {
    this.id = id;
    this.blockElements = blockElements;
    this.blockBytes = blockBytes;
  }

  /** The type's number in a file. */
  public int id() {
    return id;
  }

  /** Elements that are stored together; a row is a whole number of blocks. */
  public int blockElements() {
    return blockElements;
  }

  /** Bytes of a block. */
  public int blockBytes() {
    return blockBytes;
  }

  /** The type with this number. */
  public static TensorType ofId(int id) {
    for (TensorType type : values()) {
      if (type.id == id) {
        return type;
      }
    }
    throw new MlaException(Status.UNSUPPORTED, "tensor type " + id + " is not supported");
  }
}
