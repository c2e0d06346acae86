package io.github.mla4j.convert.torch;

import static org.bytedeco.pytorch.global.torch.linear;
import static org.bytedeco.pytorch.global.torch.ones;
import static org.bytedeco.pytorch.global.torch.set_num_threads;

import org.bytedeco.openblas.global.openblas;
import org.bytedeco.pytorch.Device;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** The type in which a machine multiplies matrices fastest. */
public final class FastestType {
  private FastestType() {}

  /**
   * Bfloat16 where it is clearly faster, as with AVX-512 BF16, AMX or a GPU; else float32. Takes
   * some milliseconds. PyTorch and OpenBLAS are told to use one thread, process-wide: a core for
   * each sequence.
   */
  public static ScalarType of(Device device) {
    set_num_threads(1);
    openblas.blas_set_num_threads(1);
    return TorchScope.computeWithoutGradients(
        () -> {
          Tensor x = ones(512, 512).to(device, ScalarType.Float);
          Tensor w = ones(1536, 512).to(device, ScalarType.Float);
          double single = seconds(x, w);
          double half =
              seconds(x.to(device, ScalarType.BFloat16), w.to(device, ScalarType.BFloat16));
          return half < 0.8 * single ? ScalarType.BFloat16 : ScalarType.Float;
        });
  }

  /** Of the fastest of a few products; the first one also prepares. */
  private static double seconds(Tensor x, Tensor w) {
    double best = Double.POSITIVE_INFINITY;
    for (int i = 0; i < 8; i++) {
      long begin = System.nanoTime();
      linear(x, w).narrow(0, 0, 1).sum().item_float(); // waits for a GPU
      best = Math.min(best, (System.nanoTime() - begin) * 1e-9);
    }
    return best;
  }
}
