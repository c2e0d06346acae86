package io.github.mla4j.convert.torch;

import static org.bytedeco.pytorch.global.torch.grad;
import static org.bytedeco.pytorch.global.torch.manual_seed;
import static org.bytedeco.pytorch.global.torch.ones;
import static org.bytedeco.pytorch.global.torch.randn;
import static org.bytedeco.pytorch.global.torch.softmax;

import java.util.OptionalInt;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Against the formula over whole matrices, differentiated by PyTorch. */
class CausalMixTest {
  private static final double SCALE = 0.3;

  // Lengths around the block's; windows within a block, across two, and longer than all.
  @ParameterizedTest
  @CsvSource({
    "1, 0",
    "5, 0",
    "128, 0",
    "129, 0",
    "300, 0",
    "300, 1",
    "300, 40",
    "300, 200",
    "300, 299",
    "300, 999"
  })
  void agreesWithTheWholeMatrix(int t, int window) {
    TorchScope.run(
        () -> {
          manual_seed(t);
          Tensor q = randn(2, 3, t, 10).requires_grad_(true);
          Tensor k = randn(2, t, 10).requires_grad_(true);
          Tensor v = randn(2, t, 6).requires_grad_(true);
          Tensor byAttended = randn(2, 3, t, 6);
          Tensor expected = whole(q, k, v, window == 0 ? t : window);
          TensorVector gradients =
              grad(
                  new TensorVector(expected),
                  new TensorVector(q, k, v),
                  new TensorVector(byAttended),
                  new BoolOptional(),
                  false,
                  false);
          CausalMix mix =
              new CausalMix(SCALE, window == 0 ? OptionalInt.empty() : OptionalInt.of(window));
          TensorVector own =
              grad(
                  new TensorVector(mix.forward(q, k, v).attended()),
                  new TensorVector(q, k, v),
                  new TensorVector(byAttended),
                  new BoolOptional(),
                  false,
                  false);
          for (int i = 0; i < 3; i++) {
            Tensors.assertClose(gradients.get(i), own.get(i), 1e-5);
          }
          TorchScope.runWithoutGradients(
              () -> {
                CausalMix.Mixed mixed = mix.forward(q, k, v);
                Tensors.assertClose(expected, mixed.attended(), 1e-5);
                CausalMix.Derivative found = mix.backward(q, k, v, mixed, byAttended);
                Tensors.assertClose(gradients.get(0), found.byQueries(), 1e-5);
                Tensors.assertClose(gradients.get(1), found.byKeys(), 1e-5);
                Tensors.assertClose(gradients.get(2), found.byValues(), 1e-5);
              });
        });
  }

  private static Tensor whole(Tensor q, Tensor k, Tensor v, int window) {
    long t = q.size(2);
    Tensor seen = ones(t, t).tril(0).triu(1 - window);
    Tensor scores = q.matmul(k.unsqueeze(1).transpose(2, 3)).mul(new Scalar(SCALE));
    Tensor hidden = scores.masked_fill(seen.eq(new Scalar(0)), new Scalar(-1e30));
    return softmax(hidden, -1).matmul(v.unsqueeze(1));
  }
}
