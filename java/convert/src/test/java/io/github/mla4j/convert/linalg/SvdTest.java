package io.github.mla4j.convert.linalg;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class SvdTest {
  @ParameterizedTest
  @CsvSource({"1,1", "1,7", "7,1", "5,5", "13,6", "6,13", "64,64", "48,96"})
  void multipliesBackToTheMatrix(int m, int n) {
    double[] a = random(m * n);
    Svd svd = Svd.of(a, m, n);
    assertEquals(Math.min(m, n), svd.size());
    for (int i = 0; i < m; i++) {
      for (int j = 0; j < n; j++) {
        double sum = 0;
        for (int k = 0; k < svd.size(); k++) {
          sum += svd.left()[i * svd.size() + k] * svd.values()[k] * svd.right()[k * n + j];
        }
        assertEquals(a[i * n + j], sum, 1e-12 * (m + n));
      }
    }
  }

  @ParameterizedTest
  @CsvSource({"13,6", "6,13"})
  void vectorsAreOrthonormalAndValuesFall(int m, int n) {
    Svd svd = Svd.of(random(m * n), m, n);
    int k = svd.size();
    for (int a = 0; a < k; a++) {
      for (int b = 0; b < k; b++) {
        double left = 0;
        double right = 0;
        for (int i = 0; i < m; i++) {
          left += svd.left()[i * k + a] * svd.left()[i * k + b];
        }
        for (int j = 0; j < n; j++) {
          right += svd.right()[a * n + j] * svd.right()[b * n + j];
        }
        assertEquals(a == b ? 1 : 0, left, 1e-12);
        assertEquals(a == b ? 1 : 0, right, 1e-12);
      }
      assertTrue(svd.values()[a] >= 0 && (a == 0 || svd.values()[a - 1] >= svd.values()[a]));
    }
  }

  /** Eckart and Young: the squared error is the sum of the squares of the values left out. */
  @Test
  void truncationErrsByTheValuesLeftOut() {
    int m = 9;
    int n = 14;
    double[] a = random(m * n);
    Svd svd = Svd.of(a, m, n);
    for (int rank = 1; rank <= m; rank++) {
      Svd.Factors factors = svd.truncated(rank);
      double error = 0;
      for (int i = 0; i < m; i++) {
        for (int j = 0; j < n; j++) {
          double sum = 0;
          for (int k = 0; k < rank; k++) {
            sum += (double) factors.up()[i * rank + k] * factors.down()[k * n + j];
          }
          error += (a[i * n + j] - sum) * (a[i * n + j] - sum);
        }
      }
      double left = 0;
      for (int k = rank; k < m; k++) {
        left += svd.values()[k] * svd.values()[k];
      }
      assertEquals(left, error, 1e-4);
    }
  }

  @Test
  void refusesWhatHasNoValues() {
    assertThrows(ArithmeticException.class, () -> Svd.of(new double[] {1, Double.NaN}, 1, 2));
    assertThrows(IllegalArgumentException.class, () -> Svd.of(new double[5], 2, 3));
    Svd svd = Svd.of(random(6), 2, 3);
    assertThrows(IllegalArgumentException.class, () -> svd.truncated(0));
    assertThrows(IllegalArgumentException.class, () -> svd.truncated(3));
    assertEquals(0, Svd.of(new double[0], 0, 3).size());
  }

  private static double[] random(int count) {
    return new Random(17).doubles(count, -1, 1).toArray();
  }
}
