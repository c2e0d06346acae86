package io.github.mla4j.convert.torch;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Map;
import org.bytedeco.pytorch.AbstractTensor;
import org.junit.jupiter.api.Test;

class AdamWTest {
  @Test
  void followsTheFormulaAndDecaysMatricesOnly() {
    double decay = 0.1;
    double rate = 0.01;
    float[] gradients = {0.5f, -2f, 0.25f};
    TorchScope.run(
        () -> {
          try (Parameters parameters = new Parameters()) {
            parameters.add("matrix", AbstractTensor.create(new float[] {3}, 1, 1));
            parameters.add("vector", AbstractTensor.create(new float[] {3}, 1));
            try (AdamW optimizer = new AdamW(parameters.all(), 0.9, 0.95, decay)) {
              double mean = 0;
              double square = 0;
              double matrix = 3;
              double vector = 3;
              for (int step = 1; step <= gradients.length; step++) {
                float g = gradients[step - 1];
                optimizer.step(
                    Map.of(
                        "matrix", AbstractTensor.create(new float[] {g}, 1, 1),
                        "vector", AbstractTensor.create(new float[] {g}, 1)),
                    step,
                    rate);
                mean = 0.9 * mean + 0.1 * g;
                square = 0.95 * square + 0.05 * g * g;
                double move =
                    rate
                        * (mean / (1 - Math.pow(0.9, step)))
                        / (Math.sqrt(square / (1 - Math.pow(0.95, step))) + 1e-8);
                matrix = matrix * (1 - rate * decay) - move;
                vector -= move;
                assertEquals(matrix, parameters.get("matrix", 1, 1).item_float(), 1e-6);
                assertEquals(vector, parameters.get("vector", 1).item_float(), 1e-6);
              }
            }
          }
        });
  }
}
