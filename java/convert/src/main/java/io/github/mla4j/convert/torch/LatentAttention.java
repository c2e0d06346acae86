package io.github.mla4j.convert.torch;

import static org.bytedeco.pytorch.global.torch.cat;
import static org.bytedeco.pytorch.global.torch.linear;
import static org.bytedeco.pytorch.global.torch.scaled_dot_product_attention;

import java.util.Optional;
import org.bytedeco.pytorch.DoubleOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.TensorVector;

/**
 * Attention over a shared rotary key and a latent, with the keys and values of all heads formed
 * again from the latent: the formula that the engine decodes in absorbed order, in the order that
 * suits whole sequences and gradients.
 *
 * <p>The rotary table is its own, because every converted layer keeps other frequencies than the
 * model; the one handed to {@link #forward} is not used. Borrows its weights. Not thread-safe.
 */
public final class LatentAttention implements SelfAttention, AutoCloseable {
  private final LatentWeights weights;
  private final double scale;
  private final RotaryTable rotary;

  /**
   * Attention of one layer.
   *
   * @param weights whose tensors the caller keeps alive
   * @param positions longest sequence, in tokens
   * @param keyLength width d of a head in the source model: scores are scaled by 1/sqrt(d)
   */
  public LatentAttention(LatentWeights weights, int positions, int keyLength) {
    this.weights = weights;
    scale = 1 / Math.sqrt(keyLength);
    rotary = new RotaryTable(positions, weights.frequencies());
  }

  @Override
  public Tensor forward(Tensor x, RotaryTable unused) {
    long batch = x.size(0);
    long length = x.size(1);
    Tensor latent = project(x, weights.down(), Optional.empty());
    Tensor k = up(latent, weights.keyUp());
    Tensor v = up(latent, weights.valueUp());
    int turned = weights.rotaryWidth();
    int width = turned + weights.plainWidth();
    Tensor q =
        project(x, weights.query(), weights.queryBias())
            .view(batch, length, weights.heads(), width)
            .transpose(1, 2);
    if (turned > 0) {
      q = beside(rotary.rotate(q.narrow(3, 0, turned)), q.narrow(3, turned, weights.plainWidth()));
      Tensor shared = project(x, weights.rotaryKey().orElseThrow(), weights.rotaryKeyBias());
      Tensor key = rotary.rotate(shared.unsqueeze(1));
      k = beside(key.expand(batch, weights.heads(), length, turned), k);
    }
    Tensor attended =
        scaled_dot_product_attention(
            q, k, v, new TensorOptional(), 0.0, true, new DoubleOptional(scale), false);
    return project(
        attended.transpose(1, 2).reshape(batch, length, weights.output().size(1)),
        weights.output(),
        weights.outputBias());
  }

  /** Per-head keys or values of a latent: [batch, length, C] to [batch, heads, length, width]. */
  private Tensor up(Tensor latent, Tensor matrix) {
    long batch = latent.size(0);
    long length = latent.size(1);
    long width = matrix.size(1);
    int group = weights.heads() / weights.kvHeads();
    return linear(latent, matrix.reshape(weights.kvHeads() * width, matrix.size(2)))
        .view(batch, length, weights.kvHeads(), 1, width)
        .expand(batch, length, weights.kvHeads(), group, width)
        .reshape(batch, length, weights.heads(), width)
        .transpose(1, 2);
  }

  private static Tensor project(Tensor x, Tensor matrix, Optional<Tensor> bias) {
    return bias.map(b -> linear(x, matrix, new TensorOptional(b)))
        .orElseGet(() -> linear(x, matrix));
  }

  private static Tensor beside(Tensor first, Tensor second) {
    return cat(new TensorVector(first, second), -1);
  }

  @Override
  public void close() {
    rotary.close();
  }
}
