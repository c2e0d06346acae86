package io.github.mla4j.convert.torch;

import static org.bytedeco.pytorch.global.torch.grad;
import static org.bytedeco.pytorch.global.torch.set_num_threads;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.Supplier;
import org.bytedeco.openblas.global.openblas;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;

/**
 * Computes gradients of one batch on several cores, a share of the batch on each.
 *
 * <p>PyTorch itself would split every operation over the cores. For small models on a CPU that
 * costs more than it gains: the cores wait for each other thousands of times a step instead of
 * once, and OpenBLAS's threads contend with those of the attention kernel. So PyTorch and OpenBLAS
 * are told to use one thread, process-wide, for as long as the process lives.
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

  /** What one share of the batch gave; the vector owns the tensors and is kept until released. */
  private record Share(double loss, TensorVector gradients) {}

  /**
   * The mean loss and its gradients.
   *
   * @param loss mean loss of the batch
   * @param gradients one for each parameter, in the parameters' order
   */
  public record Result(double loss, List<Tensor> gradients) {}

  /**
   * Averages the gradients of several losses. The result does not depend on the number of threads.
   *
   * @param losses each gives a scalar tensor, computed in a scope and on a thread of its own
   * @return tensors that are freed with the caller's {@link TorchScope}
   */
  public Result differentiate(List<Supplier<Tensor>> losses) {
    List<Future<Share>> pending = new ArrayList<>();
    for (Supplier<Tensor> loss : losses) {
      pending.add(threads.submit(() -> TorchScope.compute(() -> share(loss))));
    }
    List<Share> shares = new ArrayList<>();
    try {
      for (Future<Share> future : pending) {
        shares.add(await(future));
      }
      return mean(shares);
    } finally {
      shares.forEach(share -> TorchScope.release(share.gradients));
    }
  }

  private static Share await(Future<Share> future) {
    try {
      return future.get();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException("interrupted while computing gradients", e);
    } catch (ExecutionException e) {
      throw new IllegalStateException(
          "computing gradients failed: " + e.getCause().getMessage(), e.getCause());
    }
  }

  private Share share(Supplier<Tensor> loss) {
    Tensor scalar = loss.get();
    TensorVector gradients =
        grad(new TensorVector(scalar), new TensorVector(parameters.toArray(new Tensor[0])));
    return new Share(scalar.item_float(), TorchScope.keep(gradients));
  }

  private Result mean(List<Share> shares) {
    Scalar weight = new Scalar(1.0 / shares.size());
    List<Tensor> sums = new ArrayList<>();
    for (int i = 0; i < parameters.size(); i++) {
      Tensor sum = shares.get(0).gradients.get(i).mul(weight);
      for (Share share : shares.subList(1, shares.size())) {
        sum.add_(share.gradients.get(i), weight);
      }
      sums.add(sum);
    }
    return new Result(shares.stream().mapToDouble(Share::loss).average().orElseThrow(), sums);
  }

  @Override
  public void close() {
    threads.shutdownNow();
  }
}
