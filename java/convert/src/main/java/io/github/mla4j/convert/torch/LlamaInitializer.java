package io.github.mla4j.convert.torch;

import static org.bytedeco.pytorch.global.torch.manual_seed;
import static org.bytedeco.pytorch.global.torch.ones;
import static org.bytedeco.pytorch.global.torch.randn;

import org.bytedeco.pytorch.Scalar;

/** Fresh weights for a Llama model. */
public final class LlamaInitializer {
  private static final double SPREAD = 0.02;

  private final Parameters parameters = new Parameters();

  private LlamaInitializer() {}

  /**
   * Normal weights of deviation 0.02, norms of one. What is added to the residual stream starts
   * smaller, so that the stream does not grow with depth.
   *
   * @param seed the same seed gives the same weights
   * @return parameters that the caller owns
   */
  public static Parameters initialize(LlamaShape shape, long seed) {
    LlamaInitializer made = new LlamaInitializer();
    TorchScope.run(() -> made.fill(shape, seed));
    return made.parameters;
  }

  private void fill(LlamaShape shape, long seed) {
    manual_seed(seed);
    double small = SPREAD / Math.sqrt(2.0 * shape.layers());
    int hidden = shape.hidden();
    normal(LlamaNames.EMBEDDING, SPREAD, shape.vocabulary(), hidden);
    for (int layer = 0; layer < shape.layers(); layer++) {
      parameters.add(LlamaNames.attentionNorm(layer), ones(hidden));
      normal(LlamaNames.query(layer), SPREAD, shape.queryWidth(), hidden);
      normal(LlamaNames.key(layer), SPREAD, shape.kvWidth(), hidden);
      normal(LlamaNames.value(layer), SPREAD, shape.kvWidth(), hidden);
      normal(LlamaNames.output(layer), small, hidden, shape.queryWidth());
      parameters.add(LlamaNames.feedForwardNorm(layer), ones(hidden));
      normal(LlamaNames.gate(layer), SPREAD, shape.feedForward(), hidden);
      normal(LlamaNames.up(layer), SPREAD, shape.feedForward(), hidden);
      normal(LlamaNames.down(layer), small, hidden, shape.feedForward());
    }
    parameters.add(LlamaNames.FINAL_NORM, ones(hidden));
  }

  private void normal(String name, double spread, long rows, long columns) {
    parameters.add(name, randn(rows, columns).mul_(new Scalar(spread)));
  }
}
