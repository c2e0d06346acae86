package io.github.mla4j.convert.heal;

import static org.bytedeco.pytorch.global.torch.cross_entropy_loss;
import static org.bytedeco.pytorch.global.torch.grad;
import static org.bytedeco.pytorch.global.torch.linear;
import static org.bytedeco.pytorch.global.torch.log_softmax;
import static org.bytedeco.pytorch.global.torch.manual_seed;
import static org.bytedeco.pytorch.global.torch.randint;
import static org.bytedeco.pytorch.global.torch.randn;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.github.mla4j.convert.torch.TorchScope;
import java.util.List;
import java.util.Optional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Gradients in closed form against PyTorch's. */
class NextTokenLossTest {
  private static final int WIDTH = 12;
  private static final int TOKENS = 50;

  @ParameterizedTest
  @ValueSource(ints = {1, 7, 128, 131, 300})
  void divergenceFromATeacher(int positions) {
    TorchScope.run(
        () -> {
          manual_seed(positions);
          Tensor state = randn(positions, WIDTH).requires_grad_(true);
          Tensor head = randn(TOKENS, WIDTH).requires_grad_(true);
          Tensor teacherState = randn(positions, WIDTH);
          Tensor teacherHead = randn(TOKENS, WIDTH);
          Tensor wanted = log_softmax(linear(teacherState, teacherHead), 1);
          Tensor loss =
              wanted.exp().mul(wanted.sub(log_softmax(linear(state, head), 1))).sum(1).mean();
          compare(
              loss,
              state,
              head,
              Optional.of(teacherHead),
              teacherState,
              randint(TOKENS, new long[] {positions}).to(ScalarType.Long));
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
          compare(loss, state, head, Optional.empty(), state, next);
        });
  }

  private static void compare(
      Tensor loss,
      Tensor state,
      Tensor head,
      Optional<Tensor> teacherHead,
      Tensor teacherState,
      Tensor next) {
    TensorVector expected = grad(new TensorVector(loss), new TensorVector(state, head));
    try (Gradients gradients = new Gradients(List.of("head"))) {
      NextTokenLoss.Result result =
          TorchScope.computeWithoutGradients(
              () -> {
                NextTokenLoss.Result found =
                    new NextTokenLoss(head, "head", teacherHead)
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
