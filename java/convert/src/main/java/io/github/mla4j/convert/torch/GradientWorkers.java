package io.github.mla4j.convert.torch;

import static org.bytedeco.pytorch.global.torch.grad;
import static org.bytedeco.pytorch.global.torch.set_num_threads;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.Supplier;
import org.bytedeco.openblas.global.openblas;
import org.bytedeco.pytorch.MemoryFormatOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Computes gradients of one batch on several cores, a share of the batch on each.
 *
 * <p>PyTorch itself would split every operation over the cores. For small models on a CPU that
 * costs more than it gains: the cores wait for each other thousands of times a step instead of
 * once, and OpenBLAS's threads contend with those of the attention kernel. So PyTorch and OpenBLAS
 * are told to use one thread, process-wide, for as long as the process lives.
 *
 * <p>An interrupt of a thread that waits for shares stays pending until they are done.
 */
public final class GradientWorkers implements AutoCloseable {
  private final List<Tensor> parameters;
  private final ExecutorService threads;

  /**
   * @param parameters what to differentiate by; stays owned by the caller
   * @param threads shares that are computed at the same time
   */
  public GradientWorkers(Parameters parameters, int threads) {
    this.parameters = List.copyOf(parameters.all().values());
    this.threads =
        Executors.newFixedThreadPool(
            threads,
            body -> {
              Thread thread = new Thread(body, "gradients");
              thread.setDaemon(true);
              return thread;
            });
    set_num_threads(1);
    openblas.blas_set_num_threads(1);
  }

  /**
   * What one share of the batch gave.
   *
   * @param gradients of the same number and shapes in every share; each owns its memory
   */
  public record Share(double loss, List<Tensor> gradients) {}

  /**
   * The mean loss and its gradients.
   *
   * @param loss mean loss of the batch
   * @param gradients in the order in which shares give them, float32
   */
  public record Result(double loss, List<Tensor> gradients) {}

  /**
   * Averages the gradients of several losses. The result does not depend on the number of threads.
   *
   * @param losses each gives a scalar tensor, computed in a scope and on a thread of its own
   * @return gradients in the parameters' order, freed with the caller's {@link TorchScope}
   */
  public Result differentiate(List<Supplier<Tensor>> losses) {
    List<Supplier<Share>> shares = new ArrayList<>();
    losses.forEach(loss -> shares.add(() -> differentiate(loss.get())));
    return average(shares);
  }

  private Share differentiate(Tensor loss) {
    TensorVector gradients =
        grad(new TensorVector(loss), new TensorVector(parameters.toArray(new Tensor[0])));
    // The vector's elements are its own.
    List<Tensor> copies = Arrays.stream(gradients.get()).map(Tensor::new).toList();
    return new Share(loss.item_float(), copies);
  }

  /**
   * Averages shares that compute their gradients themselves. The result does not depend on the
   * number of threads.
   *
   * @param shares each computed in a scope and on a thread of its own
   * @return gradients that are freed with the caller's {@link TorchScope}
   */
  public Result average(List<Supplier<Share>> shares) {
    List<Future<Share>> pending = new ArrayList<>();
    for (Supplier<Share> share : shares) {
      pending.add(threads.submit(() -> TorchScope.compute(() -> kept(share.get()))));
    }
    List<Share> done = new ArrayList<>();
    try {
      await(pending, done);
      double loss = done.stream().mapToDouble(Share::loss).average().orElseThrow();
      return new Result(loss, means(done));
    } finally {
      done.forEach(share -> share.gradients.forEach(TorchScope::release));
    }
  }

  private List<Tensor> means(List<Share> shares) {
    List<Future<Tensor>> pending = new ArrayList<>();
    for (int i = 0; i < shares.get(0).gradients.size(); i++) {
      int index = i;
      List<Tensor> parts = shares.stream().map(share -> share.gradients.get(index)).toList();
      pending.add(threads.submit(() -> kept(() -> mean(parts))));
    }
    List<Tensor> means = new ArrayList<>();
    try {
      await(pending, means);
    } finally {
      means.forEach(TorchScope::adopt);
    }
    return means;
  }

  private static Tensor mean(List<Tensor> parts) {
    Scalar weight = new Scalar(1.0 / parts.size());
    Tensor mean = parts.get(0).to(ScalarType.Float, false, true, new MemoryFormatOptional());
    mean.mul_(weight);
    parts.subList(1, parts.size()).forEach(part -> LargeSum.add(mean, part, weight));
    return mean;
  }

  private static Tensor kept(Supplier<Tensor> body) {
    return TorchScope.computeWithoutGradients(() -> TorchScope.keep(body.get()));
  }

  /** Does several things at the same time, each in a scope of its own. */
  public void run(List<Runnable> parts) {
    List<Future<Boolean>> pending = new ArrayList<>();
    for (Runnable part : parts) {
      pending.add(
          threads.submit(
              () -> {
                TorchScope.run(part);
                return true;
              }));
    }
    await(pending, new ArrayList<>());
  }

  private static Share kept(Share share) {
    share.gradients.forEach(TorchScope::keep);
    return share;
  }

  /**
   * Waits for all, interrupted or not.
   *
   * @param done gets what the parts that did not fail gave
   */
  private static <T> void await(List<Future<T>> pending, List<T> done) {
    Settled<T> settled = Settled.of(pending, () -> {});
    done.addAll(settled.done());
    if (settled.interrupted()) {
      Thread.currentThread().interrupt();
    }
    settled.throwFailure("computing gradients failed");
  }

  @Override
  public void close() {
    threads.shutdownNow();
  }
}
