package io.github.mla4j.convert.calibrated;

import static org.bytedeco.pytorch.global.torch.set_num_threads;

import io.github.mla4j.CancelledException;
import io.github.mla4j.convert.torch.Settled;
import io.github.mla4j.convert.torch.TorchScope;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.IntFunction;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import org.bytedeco.openblas.global.openblas;
import org.bytedeco.pytorch.Tensor;

/**
 * Works on several windows at a time, one core each. PyTorch and OpenBLAS are told to use one
 * thread, process-wide: splitting every operation over the cores makes the threads of one spin
 * while the other works, which was measured to cost four times the time. What a worker asks for in
 * turn it does itself.
 */
final class WindowWorkers implements AutoCloseable {
  private final ExecutorService threads;
  private final int count;

  WindowWorkers() {
    count = Math.max(1, Runtime.getRuntime().availableProcessors());
    threads = Executors.newFixedThreadPool(count, Worker::new);
    set_num_threads(1);
    openblas.blas_set_num_threads(1);
  }

  private static final class Worker extends Thread {
    Worker(Runnable body) {
      super(body, "calibration");
      setDaemon(true);
    }
  }

  /** How many windows are worked on at the same time. */
  int count() {
    return count;
  }

  /**
   * One tensor a window; they live as long as the scope around this call. No worker is at work any
   * more when it ends, in whatever way.
   *
   * @throws CancelledException if the thread is interrupted; windows that are being worked on are
   *     waited for
   * @throws IllegalStateException if a body fails
   */
  List<Tensor> map(int windows, IntFunction<Tensor> body) {
    return mapAll(windows, window -> List.of(body.apply(window))).stream()
        .map(each -> each.get(0))
        .toList();
  }

  /** Several tensors a window, the same way. */
  List<List<Tensor>> mapAll(int windows, IntFunction<List<Tensor>> body) {
    if (Thread.currentThread() instanceof Worker) {
      return IntStream.range(0, windows).mapToObj(w -> adopted(kept(() -> body.apply(w)))).toList();
    }
    AtomicBoolean stopped = new AtomicBoolean();
    List<Future<List<Tensor>>> pending = new ArrayList<>();
    for (int i = 0; i < windows; i++) {
      int window = i;
      pending.add(threads.submit(() -> stopped.get() ? List.of() : kept(() -> body.apply(window))));
    }
    Settled<List<Tensor>> settled = Settled.of(pending, () -> stopped.set(true));
    List<List<Tensor>> results = settled.done().stream().map(WindowWorkers::adopted).toList();
    if (settled.interrupted()) {
      throw new CancelledException("the conversion was cancelled");
    }
    settled.throwFailure("calibration failed");
    return results;
  }

  private static List<Tensor> adopted(List<Tensor> tensors) {
    tensors.forEach(TorchScope::adopt);
    return tensors;
  }

  private static List<Tensor> kept(Supplier<List<Tensor>> body) {
    return TorchScope.computeWithoutGradients(
        () -> {
          List<Tensor> tensors = body.get();
          tensors.forEach(TorchScope::keep);
          return tensors;
        });
  }

  @Override
  public void close() {
    threads.shutdownNow();
  }
}
