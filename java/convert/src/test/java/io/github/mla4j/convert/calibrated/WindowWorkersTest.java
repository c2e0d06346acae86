package io.github.mla4j.convert.calibrated;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.mla4j.CancelledException;
import io.github.mla4j.convert.torch.TorchScope;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import org.bytedeco.pytorch.AbstractTensor;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

class WindowWorkersTest {
  private static Tensor of(float value) {
    return AbstractTensor.create(new float[] {value}, 1);
  }

  @Test
  @Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
  void whatAWorkerAsksForItDoesItself() {
    TorchScope.run(
        () -> {
          try (WindowWorkers workers = new WindowWorkers()) {
            int tasks = 3 * workers.count();
            List<Tensor> sums =
                workers.map(
                    tasks,
                    i -> workers.map(4, j -> of(10 * i + j)).stream().reduce(Tensor::add).get());
            for (int i = 0; i < tasks; i++) {
              assertEquals(40 * i + 6, sums.get(i).item_float());
            }
          }
        });
  }

  @Test
  void aFailureIsTheCallers() {
    TorchScope.run(
        () -> {
          try (WindowWorkers workers = new WindowWorkers()) {
            IllegalStateException failure =
                assertThrows(
                    IllegalStateException.class,
                    () ->
                        workers.map(
                            2,
                            i -> {
                              throw new IllegalArgumentException("window " + i);
                            }));
            assertEquals("calibration failed: window 0", failure.getMessage());
          }
        });
  }

  @Test
  @Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
  void endsWhenNoWorkerIsAtWorkAnyMore() {
    TorchScope.run(
        () -> {
          try (WindowWorkers workers = new WindowWorkers()) {
            AtomicInteger begun = new AtomicInteger();
            AtomicInteger ended = new AtomicInteger();
            Thread caller = Thread.currentThread();
            int windows = 20 * workers.count();
            assertThrows(
                CancelledException.class,
                () ->
                    workers.map(
                        windows,
                        i -> {
                          begun.incrementAndGet();
                          caller.interrupt();
                          LockSupport.parkNanos(50_000_000);
                          ended.incrementAndGet();
                          return of(i);
                        }));
            assertEquals(begun.get(), ended.get());
            assertTrue(begun.get() < windows, begun + " of " + windows);
          }
        });
  }

  @Test
  void aFailureWaitsForTheOthersAndStopsTheRest() {
    TorchScope.run(
        () -> {
          try (WindowWorkers workers = new WindowWorkers()) {
            AtomicInteger begun = new AtomicInteger();
            AtomicInteger ended = new AtomicInteger();
            CountDownLatch otherAtWork = new CountDownLatch(workers.count() > 1 ? 1 : 0);
            int windows = 20 * workers.count();
            assertThrows(
                IllegalStateException.class,
                () ->
                    workers.map(
                        windows,
                        i -> {
                          if (i == 0) {
                            await(otherAtWork);
                            throw new IllegalArgumentException("window 0");
                          }
                          begun.incrementAndGet();
                          otherAtWork.countDown();
                          LockSupport.parkNanos(20_000_000);
                          ended.incrementAndGet();
                          return of(i);
                        }));
            assertEquals(begun.get(), ended.get());
            assertTrue(begun.get() < windows - 1, begun + " of " + windows);
          }
        });
  }

  private static void await(CountDownLatch latch) {
    try {
      assertTrue(latch.await(30, TimeUnit.SECONDS));
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
  }
}
