package io.github.mla4j.convert.torch;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.ToDoubleFunction;
import org.bytedeco.pytorch.Tensor;

/**
 * Muon for matrices whose blocks are known and narrow, such as an attention's heads; Adam for all
 * else. A step of either moves an element by about the rate. Not thread-safe.
 */
public final class HeadwiseOptimizer implements AutoCloseable {
  // Losses that are a share of something have small gradients.
  private static final double EPSILON = 1e-12;
  // Muon's work grows with the square of a block's shorter side: a head's is a small share of a
  // step, a latent of thousands would be most of it.
  private static final long WIDEST = 512;

  private final Muon muon;
  private final AdamW adam;

  /**
   * @param parameters what to train, by name; stay owned by the caller
   * @param blocks of some or all of them
   * @param firstDecay decay of the mean of gradients, such as 0.9
   * @param secondDecay decay of the mean of squared gradients, such as 0.95
   */
  public HeadwiseOptimizer(
      Map<String, Tensor> parameters,
      Map<String, MatrixBlocks> blocks,
      double firstDecay,
      double secondDecay) {
    Map<String, Tensor> matrices = new LinkedHashMap<>();
    Map<String, Tensor> others = new LinkedHashMap<>();
    parameters.forEach(
        (name, tensor) -> {
          boolean orthogonal = blocks.containsKey(name) && narrow(blocks.get(name), tensor);
          (orthogonal ? matrices : others).put(name, tensor);
        });
    muon = new Muon(matrices, blocks, firstDecay);
    adam = new AdamW(others, firstDecay, secondDecay, 0, EPSILON);
  }

  private static boolean narrow(MatrixBlocks blocks, Tensor tensor) {
    return TorchScope.computeWithoutGradients(
        () -> {
          Tensor split = blocks.split(tensor);
          return Math.min(split.size(1), split.size(2)) <= WIDEST;
        });
  }

  /**
   * A step, a part for each parameter; the parts may run at the same time.
   *
   * @param gradients by name, of all parameters; their memory may be used, and they may be none
   *     afterwards
   * @param step number of this step, the first being 1
   * @param learningRate of the parameter of this name
   */
  public List<Runnable> updates(
      Map<String, Tensor> gradients, long step, ToDoubleFunction<String> learningRate) {
    List<Runnable> updates = new ArrayList<>(muon.updates(gradients, learningRate));
    updates.addAll(adam.updates(gradients, step, learningRate));
    return updates;
  }

  /** What a checkpoint has to hold, by names of its own; owned by this object. */
  public Map<String, Tensor> state() {
    Map<String, Tensor> state = new LinkedHashMap<>();
    muon.means().forEach((name, mean) -> state.put("mean/" + name, mean));
    adam.moments()
        .forEach(
            (name, moments) -> {
              state.put("mean/" + name, moments.mean());
              state.put("square/" + name, moments.square());
            });
    return state;
  }

  @Override
  public void close() {
    muon.close();
    adam.close();
  }
}
