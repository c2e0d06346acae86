package io.github.mla4j.convert.torch;

import org.bytedeco.pytorch.Tensor;

/**
 * A matrix as blocks of one shape that do different things, such as an attention's heads. It may
 * have its blocks apart already, in a first dim of its own.
 *
 * @param side where a block's neighbour is
 * @param count of blocks, at least 1
 */
public record MatrixBlocks(Side side, int count) {
  /** How blocks lie. */
  public enum Side {
    /** A block's rows follow another's. */
    BELOW,
    /** A block's columns follow another's. */
    BESIDE
  }

  /** The whole matrix is one block. */
  public static final MatrixBlocks WHOLE = below(1);

  /** So many, of equal rows. */
  public static MatrixBlocks below(int count) {
    return new MatrixBlocks(Side.BELOW, count);
  }

  /** So many, of equal columns. */
  public static MatrixBlocks beside(int count) {
    return new MatrixBlocks(Side.BESIDE, count);
  }

  /** To [count, a block's rows, a block's columns]; may share memory. */
  Tensor split(Tensor matrix) {
    return side == Side.BELOW
        ? matrix.reshape(count, -1, matrix.size(-1))
        : matrix.reshape(matrix.size(0), count, -1).transpose(0, 1);
  }

  /**
   * The way back of {@link #split}.
   *
   * @param like of the matrix's shape
   */
  Tensor join(Tensor blocks, Tensor like) {
    return (side == Side.BELOW ? blocks : blocks.transpose(0, 1)).reshape(like.shape());
  }
}
