package io.github.mla4j.convert.calibrated;

import static org.bytedeco.pytorch.global.torch.einsum;
import static org.bytedeco.pytorch.global.torch.linalg_eigh;
import static org.bytedeco.pytorch.global.torch.stack;
import static org.bytedeco.pytorch.global.torch.view_as_complex;
import static org.bytedeco.pytorch.global.torch.view_as_real;

import java.util.ArrayList;
import java.util.List;
import java.util.function.IntFunction;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * The directions into which a block's keys are turned: U_f, the eigenvectors of S_f = E[k_f k_fᴴ],
 * the strongest first. Component (j, f) of a key is u_{f,j}ᴴ k_f.
 *
 * @param real of U, [F, B, B] = [frequency, head, direction]
 * @param imaginary of U
 */
record ComponentBasis(Tensor real, Tensor imaginary) {

  /**
   * Of every block.
   *
   * @param keys of a window: of all heads before rotation, [kvHeads, T, d]
   */
  static List<ComponentBasis> of(
      List<ComponentBlock> blocks, WindowWorkers workers, int windows, IntFunction<Tensor> keys) {
    List<List<Tensor>> products = workers.mapAll(windows, w -> products(blocks, keys.apply(w)));
    List<ComponentBasis> bases = new ArrayList<>();
    for (int b = 0; b < blocks.size(); b++) {
      int block = b;
      bases.add(of(products.stream().map(window -> window.get(block)).toList()));
    }
    return bases;
  }

  /** Σ_t k_f k_fᴴ of each block, [F, B, B], complex double. */
  private static List<Tensor> products(List<ComponentBlock> blocks, Tensor keys) {
    List<Tensor> products = new ArrayList<>();
    for (ComponentBlock block : blocks) {
      Tensor k = complex(keys.narrow(0, block.firstKvHead(), block.kvHeads()), block.frequencies());
      products.add(einsum("gtf,htf->fgh", new TensorVector(k, k.conj())));
    }
    return products;
  }

  private static Tensor complex(Tensor x, int f) {
    return view_as_complex(
        stack(new TensorVector(x.narrow(2, 0, f), x.narrow(2, f, f)), 3)
            .to(ScalarType.Double)
            .contiguous());
  }

  /** Of one block, from its windows' products. */
  private static ComponentBasis of(List<Tensor> products) {
    Tensor sum = products.get(0);
    for (Tensor window : products.subList(1, products.size())) {
      sum = sum.add(window);
    }
    Tensor vectors = view_as_real(linalg_eigh(sum).get1().flip(2)).to(ScalarType.Float);
    return new ComponentBasis(vectors.select(3, 0), vectors.select(3, 1));
  }
}
