package io.github.mla4j.convert.torch;

import org.bytedeco.pytorch.Tensor;

/**
 * A matrix as blocks of one shape that do different things, such as an attention's heads.
 *
 * @param side where a block's neighbour is
 * @param count of blocks, at least 1; of those stacked, the tensor knows
 */
public record MatrixBlocks(Side side, int count) {
  /** How blocks lie. */
  public enum Side {
    /** A block's rows follow another's. */
    BELOW,
    /** A block's columns follow another's. */
    BESIDE,
    /** A tensor of three dims, a block for each of the first. */
    STACKED
  }

  /** The whole matrix is one block. */
  public static final MatrixBlocks WHOLE = below(1);

  /** Blocks that the tensor has apart already. */
  public static final MatrixBlocks STACKED = new MatrixBlocks(Side.STACKED, 1);

  /** So many, of equal rows. */
  public static MatrixBlocks below(int count) {
    return new MatrixBlocks(Side.BELOW, count);
  }

  /** So many, of equal columns. */
  public static MatrixBlocks beside(int count) {
    return new MatrixBlocks(Side.BESIDE, count);
  }

  /** [rows, columns] to [count, a block's rows, a block's columns]; may share memory. */
  Tensor split(Tensor matrix) {
    return switch (side) {
      case BELOW -> matrix.view(count, -1, matrix.size(1));
      case BESIDE -> matrix.view(matrix.size(0), count, -1).transpose(0, 1);
      case STACKED -> matrix;
    };
  }

  /** The way back of {@link #split}. */
  Tensor join(Tensor blocks) {
    return switch (side) {
      case BELOW -> blocks.reshape(-1, blocks.size(2));
      case BESIDE -> blocks.transpose(0, 1).reshape(blocks.size(1), -1);
      case STACKED -> blocks;
    };
  }
}
