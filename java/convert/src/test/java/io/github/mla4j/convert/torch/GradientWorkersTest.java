package io.github.mla4j.convert.torch;

import static org.bytedeco.pytorch.global.torch.randn;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Supplier;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.AbstractTensor;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
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
  void averagesWhatBfloat16CannotHoldInFloats() {
    try (Parameters parameters = new Parameters();
        GradientWorkers workers = new GradientWorkers(parameters, 2)) {
      List<Supplier<GradientWorkers.Share>> shares =
          List.of(() -> share(1, 256), () -> share(2, 258));
      TorchScope.run(
          () -> {
            GradientWorkers.Result result = workers.average(shares);
            assertEquals(1.5, result.loss());
            // Bfloat16 holds every second number from 256 to 512.
            assertEquals(257, result.gradients().get(0).item_float());
            assertEquals(ScalarType.Float, result.gradients().get(0).scalar_type().intern());
          });
    }
  }

  @Test
  void averagesEveryRowOfLargeGradients() {
    try (Parameters parameters = new Parameters();
        GradientWorkers workers = new GradientWorkers(parameters, 2)) {
      TorchScope.run(
          () -> {
            Tensor first = randn(1003, 700);
            Tensor second = randn(1003, 700);
            List<Supplier<GradientWorkers.Share>> shares =
                List.of(
                    () -> new GradientWorkers.Share(1, List.of(first.clone())),
                    () -> new GradientWorkers.Share(1, List.of(second.to(ScalarType.BFloat16))));
            Tensor mean = workers.average(shares).gradients().get(0);
            Tensor expected = first.add(second).div(new Scalar(2));
            assertEquals(0, mean.sub(expected).abs().max().item_float(), 0.02);
          });
    }
  }

  private static GradientWorkers.Share share(double loss, float gradient) {
    Tensor tensor = AbstractTensor.create(new float[] {gradient}, 1).to(ScalarType.BFloat16);
    return new GradientWorkers.Share(loss, List.of(tensor));
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
  void failsWhenNoShareIsAtWorkAnyMore() {
    try (Parameters parameters = weight(3, -1);
        GradientWorkers workers = new GradientWorkers(parameters, 2)) {
      AtomicBoolean done = new AtomicBoolean();
      Supplier<Tensor> broken =
          () -> {
            throw new IllegalArgumentException("broken");
          };
      Supplier<Tensor> slow =
          () -> {
            LockSupport.parkNanos(50_000_000);
            done.set(true);
            return squares(parameters, 1).get();
          };
      assertThrows(
          IllegalStateException.class,
          () -> TorchScope.run(() -> workers.differentiate(List.of(broken, slow))));
      assertTrue(done.get());
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
