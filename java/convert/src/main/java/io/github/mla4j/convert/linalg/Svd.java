package io.github.mla4j.convert.linalg;

import org.bytedeco.javacpp.DoublePointer;
import org.bytedeco.openblas.global.openblas;

/**
 * The thin singular value decomposition A = U · diag(S) · Vᵀ of a row-major matrix A [m, n], with k
 * = min(m, n), computed by LAPACK's divide and conquer in double precision.
 *
 * @param left U [m, k], orthonormal columns
 * @param values S [k], falling, none negative
 * @param right Vᵀ [k, n], orthonormal rows
 */
public record Svd(int m, int n, double[] left, double[] values, double[] right) {

  /**
   * Decomposes {@code matrix} [m, n].
   *
   * @throws ArithmeticException if an element is not finite, or LAPACK does not converge
   */
  public static Svd of(double[] matrix, int m, int n) {
    if (matrix.length != Math.multiplyExact(m, n)) {
      throw new IllegalArgumentException("%d values for %d x %d".formatted(matrix.length, m, n));
    }
    for (double value : matrix) {
      if (!Double.isFinite(value)) {
        throw new ArithmeticException("singular values of a matrix that holds " + value);
      }
    }
    int k = Math.min(m, n);
    if (k == 0) {
      return new Svd(m, n, new double[0], new double[0], new double[0]);
    }
    // LAPACK wants columns: to it our rows are the columns of Aᵀ = V S Uᵀ, so its left vectors are
    // our Vᵀ and its right ones our U, both already row-major.
    try (DoublePointer a = new DoublePointer((long) m * n);
        DoublePointer s = new DoublePointer(k);
        DoublePointer vt = new DoublePointer((long) k * n);
        DoublePointer u = new DoublePointer((long) m * k)) {
      a.put(matrix, 0, matrix.length);
      int status =
          openblas.LAPACKE_dgesdd(
              openblas.LAPACK_COL_MAJOR, (byte) 'S', n, m, a, n, s, vt, n, u, k);
      if (status != 0) {
        throw new ArithmeticException(
            "LAPACK's dgesdd failed on a %d x %d matrix (info %d)".formatted(m, n, status));
      }
      return new Svd(m, n, copy(u, m * k), copy(s, k), copy(vt, k * n));
    }
  }

  private static double[] copy(DoublePointer from, int count) {
    double[] values = new double[count];
    from.get(values, 0, count);
    return values;
  }

  /** min(m, n): how many singular values there are. */
  public int size() {
    return values.length;
  }

  /**
   * The best factors of this rank: A ≈ up · down.
   *
   * @param rank 1 to {@link #size()}
   */
  public Factors truncated(int rank) {
    if (rank < 1 || rank > size()) {
      throw new IllegalArgumentException("rank %d: expected 1 to %d".formatted(rank, size()));
    }
    float[] up = new float[m * rank];
    for (int row = 0; row < m; row++) {
      for (int i = 0; i < rank; i++) {
        up[row * rank + i] = (float) (left[row * size() + i] * values[i]);
      }
    }
    float[] down = new float[rank * n];
    for (int i = 0; i < down.length; i++) {
      down[i] = (float) right[i];
    }
    return new Factors(up, down, rank);
  }

  /**
   * A product of two matrices.
   *
   * @param up [m, rank]: U · diag(S)
   * @param down [rank, n]: orthonormal rows
   */
  public record Factors(float[] up, float[] down, int rank) {}
}
