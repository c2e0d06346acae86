package io.github.mla4j.convert.calibrated;

import static org.bytedeco.pytorch.global.torch.linear;
import static org.bytedeco.pytorch.global.torch.log_softmax;

import io.github.mla4j.convert.source.DecoderTensors;
import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.source.ModelSource;
import io.github.mla4j.convert.source.WeightTensor;
import io.github.mla4j.convert.torch.TorchScope;
import java.util.List;
import org.bytedeco.pytorch.AbstractTensor;
import org.bytedeco.pytorch.Tensor;

/** The source's output head. Its matrix belongs to the {@code TorchScope} in which this is made. */
final class NextTokens {
  // Rows whose distributions are held at a time: 50 MB for a vocabulary of 49,152.
  private static final int ROWS = 256;

  private final ModelConfig config;
  private final WindowWorkers workers;
  private final Tensor norm; // [D]
  private final Tensor head; // [V, D]

  NextTokens(ModelSource source, WindowWorkers workers) {
    this.config = source.config();
    this.workers = workers;
    WeightTensor weights =
        source.find(DecoderTensors.OUTPUT).orElseGet(() -> source.tensor(DecoderTensors.EMBEDDING));
    this.norm =
        AbstractTensor.create(
            source.tensor(DecoderTensors.OUTPUT_NORM).readAll(), config.embeddingLength());
    this.head = AbstractTensor.create(weights.readAll(), weights.rows(), weights.columns());
  }

  /**
   * Mean KL divergence of the next-token distributions from the source's, nats a token.
   *
   * @param stream the source's residual stream behind its last layer, [T, D]
   * @param others as {@code stream}
   */
  double[] divergences(Tensor stream, List<Tensor> others) {
    double[] sums = new double[others.size()];
    long tokens = stream.size(0);
    for (long first = 0; first < tokens; first += ROWS) {
      long start = first;
      long count = Math.min(ROWS, tokens - first);
      TorchScope.runWithoutGradients(
          () -> {
            Tensor expected = logProbabilities(stream.narrow(0, start, count));
            Tensor shares = expected.exp();
            List<Tensor> each =
                workers.map(
                    others.size(),
                    i ->
                        expected
                            .sub(logProbabilities(others.get(i).narrow(0, start, count)))
                            .mul_(shares)
                            .sum());
            for (int i = 0; i < sums.length; i++) {
              sums[i] += each.get(i).item_double();
            }
          });
    }
    for (int i = 0; i < sums.length; i++) {
      sums[i] /= tokens;
    }
    return sums;
  }

  private Tensor logProbabilities(Tensor stream) {
    return log_softmax(linear(RmsNorm.of(config, stream, norm), head), -1);
  }
}
