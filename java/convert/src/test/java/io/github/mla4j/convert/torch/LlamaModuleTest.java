package io.github.mla4j.convert.torch;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.Arrays;
import java.util.NoSuchElementException;
import org.bytedeco.pytorch.AbstractTensor;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;

class LlamaModuleTest {
  private static final LlamaShape SHAPE = new LlamaShape(11, 12, 2, 6, 2, 4, 10, 16, 100, 1e-5);

  /** Weights as large as a trained model's, so that no part of the formula is lost in rounding. */
  private static LlamaModule model() {
    Parameters parameters = LlamaInitializer.initialize(SHAPE, 7);
    TorchScope.runWithoutGradients(
        () ->
            parameters
                .all()
                .values()
                .forEach(
                    t -> {
                      if (t.dim() > 1) {
                        t.mul_(new Scalar(20));
                      } else {
                        t.uniform_();
                      }
                    }));
    return new LlamaModule(SHAPE, parameters, GroupedQueryAttention::new);
  }

  private static float[] logits(LlamaModule model, long... tokens) {
    return TorchScope.computeWithoutGradients(
        () -> {
          Tensor logits = model.logits(AbstractTensor.create(tokens, 1, tokens.length));
          float[] values = new float[(int) logits.numel()];
          logits.contiguous().data_ptr_float().get(values);
          return values;
        });
  }

  @Test
  void agreesWithTheFormulaInPlainLoops() {
    try (LlamaModule model = model()) {
      int[] tokens = {3, 0, 10, 3, 7, 7, 1};
      float[] got = logits(model, 3, 0, 10, 3, 7, 7, 1);
      double[] expected = new PlainLlama(SHAPE, model.parameters()).logits(tokens);
      assertEquals(expected.length, got.length);
      for (int i = 0; i < got.length; i++) {
        assertEquals(expected[i], got[i], 2e-4 * (1 + Math.abs(expected[i])), "logit " + i);
      }
    }
  }

  @Test
  void laterTokensDoNotChangeEarlierScores() {
    try (LlamaModule model = model()) {
      float[] shortText = logits(model, 3, 0, 10);
      float[] longText = logits(model, 3, 0, 10, 5);
      assertArrayEquals(shortText, Arrays.copyOf(longText, shortText.length), 1e-4f);
    }
  }

  @Test
  void rowsOfABatchDoNotMix() {
    try (LlamaModule model = model()) {
      float[] alone = logits(model, 4, 5, 6);
      float[] batched =
          TorchScope.computeWithoutGradients(
              () -> {
                long[] rows = {9, 1, 2, 4, 5, 6};
                Tensor second =
                    model.logits(AbstractTensor.create(rows, 2, 3)).narrow(0, 1, 1).contiguous();
                float[] values = new float[alone.length];
                second.data_ptr_float().get(values);
                return values;
              });
      assertArrayEquals(alone, batched, 1e-4f);
    }
  }

  @Test
  void refusesMoreTokensThanTheContext() {
    try (LlamaModule model = model()) {
      IllegalArgumentException e =
          assertThrows(IllegalArgumentException.class, () -> logits(model, new long[17]));
      assertEquals("sequence of 17 tokens, expected at most 16", e.getMessage());
    }
  }

  @Test
  void namesTheTensorThatIsMissingOrHasAnotherShape() {
    try (Parameters empty = new Parameters()) {
      NoSuchElementException e =
          assertThrows(
              NoSuchElementException.class,
              () -> new LlamaModule(SHAPE, empty, GroupedQueryAttention::new));
      assertEquals("no parameter model.embed_tokens.weight", e.getMessage());
    }
    LlamaShape wider = new LlamaShape(11, 12, 2, 6, 2, 4, 14, 16, 100, 1e-5);
    try (Parameters parameters = LlamaInitializer.initialize(SHAPE, 7)) {
      IllegalArgumentException e =
          assertThrows(
              IllegalArgumentException.class,
              () -> new LlamaModule(wider, parameters, GroupedQueryAttention::new));
      assertEquals(
          "parameter model.layers.0.mlp.gate_proj.weight has shape [10, 12], expected [14, 12]",
          e.getMessage());
    }
  }

  @Test
  void initializationDependsOnTheSeedAlone() {
    try (Parameters a = LlamaInitializer.initialize(SHAPE, 1);
        Parameters b = LlamaInitializer.initialize(SHAPE, 1);
        Parameters c = LlamaInitializer.initialize(SHAPE, 2)) {
      a.all()
          .forEach(
              (name, tensor) -> {
                assertArrayEquals(
                    TensorValues.floats(tensor), TensorValues.floats(b.all().get(name)));
                if (tensor.dim() > 1) {
                  assertEquals(false, tensor.equal(c.all().get(name)), name);
                }
              });
    }
  }
}
