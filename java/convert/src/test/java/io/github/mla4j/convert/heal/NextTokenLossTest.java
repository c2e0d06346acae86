package io.github.mla4j.convert.heal;

import static org.bytedeco.pytorch.global.torch.cross_entropy_loss;
import static org.bytedeco.pytorch.global.torch.grad;
import static org.bytedeco.pytorch.global.torch.linear;
import static org.bytedeco.pytorch.global.torch.log_softmax;
import static org.bytedeco.pytorch.global.torch.manual_seed;
import static org.bytedeco.pytorch.global.torch.randint;
import static org.bytedeco.pytorch.global.torch.randn;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.github.mla4j.convert.torch.Tensors;
import io.github.mla4j.convert.torch.TorchScope;
import java.util.List;
import java.util.Optional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Gradients in closed form against PyTorch's. */
class NextTokenLossTest {
  private static final int WIDTH = 12;
  private static final int TOKENS = 50;

  @ParameterizedTest
  @CsvSource({"1, 0", "7, 0", "128, 0", "131, 0", "300, 0", "1, 0.3", "129, 0.7"})
  void divergenceFromATeacherAndAText(int positions, double textShare) {
    TorchScope.run(
        () -> {
          manual_seed(positions);
          Tensor state = randn(positions, WIDTH).requires_grad_(true);
          Tensor head = randn(TOKENS, WIDTH).requires_grad_(true);
          Tensor teacherState = randn(positions, WIDTH);
          Tensor teacherHead = randn(TOKENS, WIDTH);
          Tensor wanted = log_softmax(linear(teacherState, teacherHead), 1);
          Tensor next = randint(TOKENS, new long[] {positions}).to(ScalarType.Long);
          Tensor logits = linear(state, head);
          Tensor divergence = wanted.exp().mul(wanted.sub(log_softmax(logits, 1))).sum(1).mean();
          Tensor loss =
              divergence
                  .mul(new Scalar(1 - textShare))
                  .add(cross_entropy_loss(logits, next).mul(new Scalar(textShare)));
          compare(
              loss,
              state,
              head,
              Optional.of(teacherHead),
              teacherState,
              next,
              new HealLoss(textShare));
        });
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 129})
  void crossEntropyOfTheText(int positions) {
    TorchScope.run(
        () -> {
          manual_seed(positions);
          Tensor state = randn(positions, WIDTH).requires_grad_(true);
          Tensor head = randn(TOKENS, WIDTH).requires_grad_(true);
          Tensor next = randint(TOKENS, new long[] {positions}).to(ScalarType.Long);
          Tensor loss = cross_entropy_loss(linear(state, head), next);
          compare(loss, state, head, Optional.empty(), state, next, HealLoss.CE);
        });
  }

  private static void compare(
      Tensor loss,
      Tensor state,
      Tensor head,
      Optional<Tensor> teacherHead,
      Tensor teacherState,
      Tensor next,
      HealLoss what) {
    TensorVector expected = grad(new TensorVector(loss), new TensorVector(state, head));
    try (Gradients gradients = new Gradients(List.of("head"))) {
      NextTokenLoss.Result result =
          TorchScope.computeWithoutGradients(
              () -> {
                NextTokenLoss.Result found =
                    new NextTokenLoss(head, "head", teacherHead, what)
                        .of(state, teacherState, next, gradients);
                Tensors.assertClose(expected.get(0), found.byState(), 1e-5);
                Tensors.assertClose(expected.get(1), gradients.release().get(0), 1e-5);
                return found;
              });
      if (state.size(0) == 1) {
        assertEquals(loss.item_float(), result.loss(), 1e-5);
      }
    }
  }
}
