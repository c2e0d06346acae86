package io.github.mla4j.convert;

import java.util.Arrays;
import java.util.Locale;
import java.util.Optional;

/** Element types of weights in a file, with GGUF's numbers and block sizes. */
public enum WeightType {
  F32(0, 1, 4),
  F16(1, 1, 2),
  BF16(30, 1, 2),
  Q8_0(8, 32, 34),
  Q4_0(2, 32, 18),
  Q4_1(3, 32, 20),
  Q4_K(12, 256, 144),
  Q6_K(14, 256, 210);

  private final int ggufId;
  private final int blockElements;
  private final int blockBytes;

  WeightType(int ggufId, int blockElements, int blockBytes) {
    this.ggufId = ggufId;
    this.blockElements = blockElements;
    this.blockBytes = blockBytes;
  }

  /** The type's number in a GGUF file. */
  public int ggufId() {
    return ggufId;
  }

  /** Elements that are stored together; a row is a whole number of blocks. */
  public int blockElements() {
    return blockElements;
  }

  /** Bytes that one block takes. */
  public int blockBytes() {
    return blockBytes;
  }

  /** Whether rows of this many elements can be stored. */
  public boolean fits(long columns) {
    return columns % blockElements == 0;
  }

  /** Bytes of a row; {@code columns} must {@linkplain #fits fit}. */
  public long rowBytes(long columns) {
    return columns / blockElements * blockBytes;
  }

  /** The type with this number, if it is a known one. */
  public static Optional<WeightType> ofGgufId(int id) {
    return Arrays.stream(values()).filter(type -> type.ggufId == id).findFirst();
  }

  /**
   * The type of this name, in any case.
   *
   * @throws IllegalArgumentException if there is none; the message lists the names
   */
  public static WeightType of(String name) {
    return Labels.find(values(), WeightType::name, name.toUpperCase(Locale.ROOT), "weight type");
  }
}
