package io.github.mla4j.convert.calibrated;

import static org.bytedeco.pytorch.global.torch.einsum;
import static org.bytedeco.pytorch.global.torch.linalg_eigh;
import static org.bytedeco.pytorch.global.torch.stack;
import static org.bytedeco.pytorch.global.torch.view_as_complex;
import static org.bytedeco.pytorch.global.torch.view_as_real;

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

  /** Sums over the calibration windows what the basis is made of. */
  static final class Builder {
    private final ComponentBlock block;
    private Tensor sums; // [F, B, B] complex double, freed with the layer's scope

    Builder(ComponentBlock block) {
      this.block = block;
    }

    /**
     * @param keys of all heads before rotation, [kvHeads, T, d]
     */
    void add(Tensor keys) {
      Tensor k = complex(keys.narrow(0, block.firstKvHead(), block.kvHeads()));
      Tensor products = einsum("gtf,htf->fgh", new TensorVector(k, k.conj()));
      sums = sums == null ? products : sums.add(products);
    }

    ComponentBasis build() {
      Tensor vectors = view_as_real(linalg_eigh(sums).get1().flip(2)).to(ScalarType.Float);
      return new ComponentBasis(vectors.select(3, 0), vectors.select(3, 1));
    }

    private Tensor complex(Tensor x) {
      int f = block.frequencies();
      return view_as_complex(
          stack(new TensorVector(x.narrow(2, 0, f), x.narrow(2, f, f)), 3)
              .to(ScalarType.Double)
              .contiguous());
    }
  }
}
