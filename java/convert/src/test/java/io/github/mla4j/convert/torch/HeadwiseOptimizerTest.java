package io.github.mla4j.convert.torch;

import static org.bytedeco.pytorch.global.torch.manual_seed;
import static org.bytedeco.pytorch.global.torch.randn;
import static org.bytedeco.pytorch.global.torch.zeros;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;

class HeadwiseOptimizerTest {
  private static final double RATE = 0.01;

  @Test
  void headsGoByMuonAndBiasesAndWideMatricesByAdam() {
    TorchScope.runWithoutGradients(
        () -> {
          manual_seed(3);
          Map<String, Tensor> parameters = new LinkedHashMap<>();
          parameters.put("bias", zeros(5));
          parameters.put("heads", zeros(6, 4));
          parameters.put("wide", zeros(513, 514));
          Map<String, Tensor> gradients = new LinkedHashMap<>();
          parameters.forEach((name, tensor) -> gradients.put(name, randn(tensor.shape())));
          Map<String, MatrixBlocks> blocks =
              Map.of("heads", MatrixBlocks.below(2), "wide", MatrixBlocks.WHOLE);
          try (HeadwiseOptimizer optimizer = new HeadwiseOptimizer(parameters, blocks, 0.9, 0.95)) {
            optimizer.updates(gradients, 1, name -> RATE).forEach(Runnable::run);
            assertEquals(
                Set.of("mean/heads", "mean/bias", "square/bias", "mean/wide", "square/wide"),
                optimizer.state().keySet());
          }
          // Adam's first step is the rate against the gradient's sign.
          for (String name : Set.of("bias", "wide")) {
            Tensor expected = gradients.get(name).sign().mul(new Scalar(-RATE));
            assertEquals(0, parameters.get(name).sub(expected).abs().max().item_double(), 1e-5);
          }
          Tensor heads = zeros(6, 4);
          try (Muon muon = new Muon(Map.of("w", heads), Map.of("w", MatrixBlocks.below(2)), 0.9)) {
            muon.updates(Map.of("w", gradients.get("heads")), name -> RATE).forEach(Runnable::run);
          }
          assertEquals(0, parameters.get("heads").sub(heads).abs().max().item_double(), 1e-7);
        });
  }
}
