package io.github.mla4j.convert.linalg;

import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.openblas.global.openblas;

/** Products of row-major matrices of floats outside the Java heap. */
public final class Gemm {
  private Gemm() {}

  /**
   * A matrix or a part of one: row i starts at {@code data + offset + i·stride}.
   *
   * @param stride elements from one row to the next
   */
  public record View(FloatPointer data, long offset, int stride) {
    FloatPointer start() {
      return data.getPointer(offset);
    }
  }

  /** c[m, n] = alpha · a[m, k] · b[n, k]ᵀ */
  public static void multiplyTransposed(int m, int n, int k, float alpha, View a, View b, View c) {
    multiply(openblas.CblasTrans, m, n, k, alpha, a, b, c);
  }

  /** c[m, n] = alpha · a[m, k] · b[k, n] */
  public static void multiply(int m, int n, int k, float alpha, View a, View b, View c) {
    multiply(openblas.CblasNoTrans, m, n, k, alpha, a, b, c);
  }

  private static void multiply(
      int transposeB, int m, int n, int k, float alpha, View a, View b, View c) {
    openblas.cblas_sgemm(
        openblas.CblasRowMajor,
        openblas.CblasNoTrans,
        transposeB,
        m,
        n,
        k,
        alpha,
        a.start(),
        a.stride(),
        b.start(),
        b.stride(),
        0f,
        c.start(),
        c.stride());
  }
}
