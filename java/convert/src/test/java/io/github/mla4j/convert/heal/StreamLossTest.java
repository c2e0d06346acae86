package io.github.mla4j.convert.heal;

import static org.bytedeco.pytorch.global.torch.grad;
import static org.bytedeco.pytorch.global.torch.manual_seed;
import static org.bytedeco.pytorch.global.torch.ones;
import static org.bytedeco.pytorch.global.torch.randn;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.mla4j.convert.torch.Tensors;
import io.github.mla4j.convert.torch.TorchScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.junit.jupiter.api.Test;

/** The gradient against PyTorch's. */
class StreamLossTest {
  private static final int BATCH = 2;
  private static final int TOKENS = 7;
  private static final int WIDTH = 5;
  private static final double WEIGHT = 0.3;

  @Test
  void isTheRelativeErrorOfAllButTheFirstTokens() {
    TorchScope.run(
        () -> {
          manual_seed(1);
          Tensor student = randn(BATCH * TOKENS, WIDTH).requires_grad_(true);
          Tensor teacher = randn(BATCH * TOKENS, WIDTH);
          Tensor already = ones(BATCH * TOKENS, WIDTH);
          Tensor loss =
              counted(student.sub(teacher))
                  .square()
                  .sum()
                  .div(counted(teacher).square().sum())
                  .mul(new Scalar(WEIGHT));
          Tensor expected =
              grad(new TensorVector(loss), new TensorVector(student)).get(0).add(already);
          try (StreamLoss streams = new StreamLoss(WEIGHT, BATCH)) {
            Tensor changing = teacher.clone();
            streams.teach(changing);
            changing.zero_();
            streams.teach(changing);
            Tensor found = already.clone();
            streams.addGradient(0, student, found);
            Tensors.assertClose(expected, found, 1e-6);
            streams.addGradient(1, student, found);
            Tensors.assertClose(expected, found, 1e-6); // the last layer has none
          }
        });
  }

  private static Tensor counted(Tensor stream) {
    return stream.view(BATCH, TOKENS, WIDTH).narrow(1, 4, TOKENS - 4);
  }

  @Test
  void countsLessAndLessOverARun() {
    assertEquals(0.3, StreamLoss.weight(0));
    assertEquals(0, StreamLoss.weight(1));
    for (double done = 0; done < 1; done += 0.125) {
      assertTrue(StreamLoss.weight(done) > StreamLoss.weight(done + 0.125));
    }
  }

  @Test
  void aSequenceOfFirstTokensHasNone() {
    TorchScope.run(
        () -> {
          Tensor stream = randn(BATCH * 4, WIDTH);
          try (StreamLoss streams = new StreamLoss(WEIGHT, BATCH)) {
            streams.teach(randn(BATCH * 4, WIDTH));
            streams.teach(randn(BATCH * 4, WIDTH));
            Tensor found = stream.clone();
            streams.addGradient(0, stream, found);
            Tensors.assertClose(stream, found, 0);
          }
        });
  }
}
