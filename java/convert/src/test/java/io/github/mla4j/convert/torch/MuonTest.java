package io.github.mla4j.convert.torch;

import static org.bytedeco.pytorch.global.torch.linalg_svd;
import static org.bytedeco.pytorch.global.torch.linalg_svdvals;
import static org.bytedeco.pytorch.global.torch.linspace;
import static org.bytedeco.pytorch.global.torch.manual_seed;
import static org.bytedeco.pytorch.global.torch.randn;
import static org.bytedeco.pytorch.global.torch.zeros;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Map;
import org.bytedeco.pytorch.AbstractTensor;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.StringViewOptional;
import org.bytedeco.pytorch.T_TensorTensorTensor_T;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class MuonTest {
  private static final double RATE = 0.01;

  /** What one step moves a matrix of zeros by. */
  private static Tensor move(Tensor gradient, MatrixBlocks blocks) {
    Tensor matrix = zeros(gradient.size(0), gradient.size(1));
    try (Muon muon = new Muon(Map.of("w", matrix), Map.of("w", blocks), 0.9)) {
      muon.updates(Map.of("w", gradient), name -> RATE).forEach(Runnable::run);
    }
    return matrix;
  }

  private static Tensor ofSingularValues(long rows, long columns, double first, double last) {
    T_TensorTensorTensor_T svd = linalg_svd(randn(rows, columns), false, new StringViewOptional());
    Tensor values = linspace(new Scalar(first), new Scalar(last), Math.min(rows, columns));
    return svd.get0().mul(values).mm(svd.get2());
  }

  private static double largest(Tensor tensor) {
    return tensor.abs().max().item_double();
  }

  @ParameterizedTest
  @CsvSource({"1, 1", "1, 9", "7, 3", "19, 576", "64, 64", "100, 8"})
  void singularValuesBecomeAlikeWhateverTheyWere(int rows, int columns) {
    TorchScope.runWithoutGradients(
        () -> {
          manual_seed(1);
          Tensor gradient = ofSingularValues(rows, columns, 1, 0.05);
          Tensor move = move(gradient, MatrixBlocks.WHOLE);
          Tensor values = linalg_svdvals(move);
          double one = RATE * Math.sqrt(Math.max(rows, columns));
          assertTrue(values.max().item_double() < 1.3 * one, values.toString());
          assertTrue(values.min().item_double() > 0.6 * one, values.toString());
          // Down the gradient, an element by about the rate.
          assertTrue(move.mul(gradient).sum().item_double() < 0);
          double moved = Math.sqrt(move.square().mean().item_double());
          assertEquals(RATE, moved, 0.35 * RATE);
        });
  }

  /** Rounds of the whole matrix, as they are defined, in double precision. */
  private static Tensor rounds(Tensor matrix) {
    Tensor x = matrix.to(ScalarType.Double);
    x = x.div(x.norm());
    for (int round = 0; round < 5; round++) {
      Tensor gram = x.mm(x.t());
      Tensor factor = gram.mul(new Scalar(-4.7750)).add(gram.mm(gram).mul(new Scalar(2.0315)));
      x = x.mul(new Scalar(3.4445)).add(factor.mm(x));
    }
    return x.to(ScalarType.Float);
  }

  @ParameterizedTest
  @CsvSource({"1, 9, 1", "64, 576, 1e-2", "64, 64, 1e-4", "128, 200, 1e-6", "100, 8, 0"})
  void roundsOfTheGramMatrixAreThoseOfTheWhole(int rows, int columns, double last) {
    TorchScope.runWithoutGradients(
        () -> {
          manual_seed(3);
          Tensor gradient = ofSingularValues(rows, columns, 1, last).mul(new Scalar(1e-9));
          Tensor expected = rounds(rows > columns ? gradient.t() : gradient);
          Tensor got = Muon.orthogonal(gradient.unsqueeze(0)).squeeze(0);
          Tensor difference = got.sub(rows > columns ? expected.t() : expected);
          assertTrue(linalg_svdvals(difference).max().item_double() < 1e-3, difference.toString());
        });
  }

  @Test
  void blocksMoveAsTheyWouldAlone() {
    TorchScope.runWithoutGradients(
        () -> {
          manual_seed(2);
          Tensor gradient = randn(6, 8);
          Tensor below = move(gradient, MatrixBlocks.below(2));
          Tensor beside = move(gradient, MatrixBlocks.beside(4));
          for (int block = 0; block < 2; block++) {
            Tensor alone = move(gradient.narrow(0, 3 * block, 3), MatrixBlocks.WHOLE);
            assertEquals(0, largest(below.narrow(0, 3 * block, 3).sub(alone)), 1e-6);
          }
          for (int block = 0; block < 4; block++) {
            Tensor alone = move(gradient.narrow(1, 2 * block, 2), MatrixBlocks.WHOLE);
            assertEquals(0, largest(beside.narrow(1, 2 * block, 2).sub(alone)), 1e-6);
          }
        });
  }

  @Test
  void goesOnAlongTheMeanOfGradients() {
    TorchScope.runWithoutGradients(
        () -> {
          Tensor matrix = zeros(1, 1);
          try (Muon muon = new Muon(Map.of("w", matrix), Map.of("w", MatrixBlocks.WHOLE), 0.9)) {
            double mean = 0;
            double before = 0;
            for (float gradient : new float[] {1, -0.05f, -1, -1}) {
              muon.updates(
                      Map.of("w", AbstractTensor.create(new float[] {gradient}, 1, 1)),
                      name -> RATE)
                  .forEach(Runnable::run);
              mean = 0.9 * mean + 0.1 * gradient;
              double direction = 0.9 * mean + 0.1 * gradient;
              double now = matrix.item_double();
              assertEquals(-Math.signum(direction), Math.signum(now - before));
              before = now;
              assertEquals(mean, muon.means().get("w").item_double(), 1e-6);
            }
          }
        });
  }

  @Test
  void standsStillWithoutGradient() {
    TorchScope.runWithoutGradients(
        () -> assertEquals(0, largest(move(zeros(3, 4), MatrixBlocks.WHOLE))));
  }
}
