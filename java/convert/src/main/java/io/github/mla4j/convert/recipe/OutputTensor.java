package io.github.mla4j.convert.recipe;

import io.github.mla4j.convert.source.FloatTensor;
import io.github.mla4j.convert.source.WeightTensor;
import io.github.mla4j.gguf.TensorType;
import java.util.Objects;

/**
 * A tensor of a converted model.
 *
 * @param name as in the converted file
 * @param role decides the type it is stored as
 * @param data rows of {@code dims[0]} elements, all slices of a stack one after the other
 * @param stack slices of a stack of matrices; 1 for a matrix or vector
 * @param like the type of what it stands for in the source
 */
public record OutputTensor(String name, Role role, WeightTensor data, int stack, TensorType like) {

  /** What a tensor is to the choice of its type. */
  public enum Role {
    /** A matrix of the source, perhaps with rows in another order. */
    WEIGHT,
    /** A matrix that a factoring made, small and read as floats. */
    FACTOR,
    /** A matrix that the recipe computed in place of the source's. */
    DERIVED,
    /** A norm or bias, stored as F32. */
    VECTOR
  }

  public OutputTensor {
    Objects.requireNonNull(name, "name");
    Objects.requireNonNull(role, "role");
    Objects.requireNonNull(data, "data");
    Objects.requireNonNull(like, "like");
  }

  /** A tensor that is stored like its data. */
  public OutputTensor(String name, Role role, WeightTensor data, int stack) {
    this(name, role, data, stack, data.type());
  }

  /** A matrix of the source. */
  public static OutputTensor weight(String name, WeightTensor data) {
    return new OutputTensor(name, Role.WEIGHT, data, 1);
  }

  /**
   * A matrix [rows, columns] that stands for one of the source's.
   *
   * @param like that one's type
   */
  public static OutputTensor derived(
      String name, int rows, int columns, float[] values, TensorType like) {
    return new OutputTensor(
        name, Role.DERIVED, new FloatTensor(name, rows, columns, values), 1, like);
  }

  /** A factor [rows, columns]. */
  public static OutputTensor factor(String name, int rows, int columns, float[] values) {
    return new OutputTensor(name, Role.FACTOR, new FloatTensor(name, rows, columns, values), 1);
  }

  /** Factors of all KV heads, [stack, rows, columns]. */
  public static OutputTensor factors(
      String name, int stack, int rows, int columns, float[] values) {
    return new OutputTensor(
        name, Role.FACTOR, new FloatTensor(name, stack * rows, columns, values), stack);
  }

  /** A norm or bias. */
  public static OutputTensor vector(String name, float[] values) {
    return new OutputTensor(name, Role.VECTOR, new FloatTensor(name, values), 1);
  }

  /** Sizes as GGUF has them, the contiguous one first. */
  public long[] dims() {
    if (role == Role.VECTOR) {
      return new long[] {data.columns()};
    }
    return stack == 1
        ? new long[] {data.columns(), data.rows()}
        : new long[] {data.columns(), data.rows() / stack, stack};
  }
}
