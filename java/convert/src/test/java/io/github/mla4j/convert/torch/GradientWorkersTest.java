package io.github.mla4j.convert.torch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.function.Supplier;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.AbstractTensor;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;

class GradientWorkersTest {
  private static Parameters weight(float... values) {
    Parameters parameters = new Parameters();
    parameters.add("weight", AbstractTensor.create(values, values.length));
    return parameters;
  }

  /** The loss sum(factor * w^2), whose gradient is 2 * factor * w. */
  private static Supplier<Tensor> squares(Parameters parameters, double factor) {
    Tensor weight = parameters.get("weight", 2);
    return () -> weight.mul(weight).sum().mul(new Scalar(factor));
  }

  @Test
  void averagesLossesAndGradients() {
    try (Parameters parameters = weight(3, -1);
        GradientWorkers workers = new GradientWorkers(parameters, 2)) {
      TorchScope.run(
          () -> {
            GradientWorkers.Result result =
                workers.differentiate(
                    List.of(
                        squares(parameters, 1), squares(parameters, 2), squares(parameters, 6)));
            assertEquals(30, result.loss(), 1e-5);
            assertEquals(18, result.gradients().get(0).narrow(0, 0, 1).item_float(), 1e-5);
            assertEquals(-6, result.gradients().get(0).narrow(0, 1, 1).item_float(), 1e-5);
          });
    }
  }

  @Test
  void anInterruptStaysPendingUntilTheSharesAreDone() {
    try (Parameters parameters = weight(3, -1);
        GradientWorkers workers = new GradientWorkers(parameters, 2)) {
      Thread.currentThread().interrupt();
      TorchScope.run(
          () ->
              assertEquals(
                  10, workers.differentiate(List.of(squares(parameters, 1))).loss(), 1e-5));
      assertTrue(Thread.interrupted());
    }
  }

  @Test
  void leavesNothingBehind() {
    try (Parameters parameters = weight(3, -1);
        GradientWorkers workers = new GradientWorkers(parameters, 2)) {
      List<Supplier<Tensor>> losses = List.of(squares(parameters, 1), squares(parameters, 2));
      TorchScope.run(() -> workers.differentiate(losses));
      long before = Pointer.totalCount();
      for (int i = 0; i < 3; i++) {
        TorchScope.run(() -> workers.differentiate(losses));
      }
      assertEquals(before, Pointer.totalCount());
    }
  }

  @Test
  void reportsWhatWentWrongInAShare() {
    try (Parameters parameters = weight(3, -1);
        GradientWorkers workers = new GradientWorkers(parameters, 2)) {
      Supplier<Tensor> broken =
          () -> {
            throw new IllegalArgumentException("sequence of 17 tokens, expected at most 16");
          };
      IllegalStateException e =
          assertThrows(
              IllegalStateException.class,
              () ->
                  TorchScope.run(
                      () -> workers.differentiate(List.of(squares(parameters, 1), broken))));
      assertEquals(
          "computing gradients failed: sequence of 17 tokens, expected at most 16", e.getMessage());
    }
  }

  @Test
  void clippingKeepsTheDirection() {
    TorchScope.run(
        () -> {
          Tensor a = AbstractTensor.create(new float[] {3}, 1);
          Tensor b = AbstractTensor.create(new float[] {4}, 1);
          assertEquals(5, GradientClip.clip(List.of(a, b), 10), 1e-6);
          assertEquals(3, a.item_float());
          assertEquals(5, GradientClip.clip(List.of(a, b), 1), 1e-6);
          assertEquals(0.6, a.item_float(), 1e-6);
          assertEquals(0.8, b.item_float(), 1e-6);
        });
  }
}
