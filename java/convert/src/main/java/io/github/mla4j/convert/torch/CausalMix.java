package io.github.mla4j.convert.torch;

import static org.bytedeco.pytorch.global.torch.cat;
import static org.bytedeco.pytorch.global.torch.softmax;
import static org.bytedeco.pytorch.global.torch.zeros_like;

import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;

/**
 * Causal softmax attention with its derivative in closed form (PyTorch's gradient works too), a
 * block of queries at a time, so that keys after the block cost nothing. Query heads of one KV head
 * are rows of the same product. PyTorch's own kernel was measured to be several times slower in
 * bfloat16 on a CPU, where it does not use oneDNN; and where a key and a value differ in length, as
 * a latent's do, it computes whole matrices. Any thread.
 */
public final class CausalMix {
  private static final int BLOCK = 128;
  // Scores that no softmax sees.
  private static final double HIDDEN = -1e30;

  private final double scale;
  private final OptionalInt window;

  /**
   * Of one kind of layer.
   *
   * @param scale of scores
   * @param window tokens that attention reaches back, where limited
   */
  public CausalMix(double scale, OptionalInt window) {
    this.scale = scale;
    this.window = window;
  }

  /**
   * Attention, and what its derivative needs.
   *
   * @param attended [batch · kvHeads, group, T, d_v]
   * @param weights a block's attention each, [batch · kvHeads, group · rows, keys]
   */
  public record Mixed(Tensor attended, List<Tensor> weights) {}

  /** Gradients, shaped as what they are by. */
  public record Derivative(Tensor byQueries, Tensor byKeys, Tensor byValues) {}

  /**
   * What queries attend to.
   *
   * @param q [batch · kvHeads, group, T, any]
   * @param k [batch · kvHeads, T, any]
   * @param v [batch · kvHeads, T, d_v]
   */
  public Mixed forward(Tensor q, Tensor k, Tensor v) {
    Tensor scaled = q.mul(new Scalar(scale));
    long t = q.size(2);
    TensorVector attended = new TensorVector();
    List<Tensor> weights = new ArrayList<>();
    for (long first = 0; first < t; first += BLOCK) {
      Block block = new Block(first, Math.min(BLOCK, t - first));
      Tensor scores = block.rows(scaled).bmm(block.keys(k).transpose(1, 2));
      block.hide(scores);
      Tensor p = softmax(scores, -1);
      weights.add(p);
      attended.push_back(block.split(p.bmm(block.keys(v)), q.size(1)));
    }
    return new Mixed(cat(attended, 2), weights);
  }

  /**
   * The gradients by queries, keys and values.
   *
   * @param mixed what {@link #forward} made of them
   * @param byAttended the gradient by its {@code attended}
   */
  public Derivative backward(Tensor q, Tensor k, Tensor v, Mixed mixed, Tensor byAttended) {
    Tensor scaled = q.mul(new Scalar(scale));
    // What the softmax takes off every score's gradient: Σ p · dp = dO · O.
    Tensor along =
        byAttended.mul(mixed.attended).sum(new long[] {3}, true, new ScalarTypeOptional());
    TensorVector byQueries = new TensorVector();
    Tensor byKeys = zeros_like(k);
    Tensor byValues = zeros_like(v);
    long t = q.size(2);
    for (long first = 0; first < t; first += BLOCK) {
      Block block = new Block(first, Math.min(BLOCK, t - first));
      Tensor p = mixed.weights.get((int) (first / BLOCK));
      Tensor byRows = block.rows(byAttended);
      block.keys(byValues).baddbmm_(p.transpose(1, 2), byRows);
      Tensor byScores = byRows.bmm(block.keys(v).transpose(1, 2)).sub_(block.rows(along)).mul_(p);
      byQueries.push_back(block.split(byScores.bmm(block.keys(k)), q.size(1)));
      block.keys(byKeys).baddbmm_(byScores.transpose(1, 2), block.rows(scaled));
    }
    return new Derivative(cat(byQueries, 2).mul_(new Scalar(scale)), byKeys, byValues);
  }

  /** Queries {@code first} and so many after it. */
  private final class Block {
    private final long first;
    private final long count;
    private final long firstKey;

    Block(long first, long count) {
      this.first = first;
      this.count = count;
      this.firstKey = window.isEmpty() ? 0 : Math.max(0, first - window.getAsInt() + 1);
    }

    /** [any, group, T, d] to [any, group · count, d]. */
    Tensor rows(Tensor x) {
      return x.narrow(2, first, count).reshape(x.size(0), -1, x.size(3));
    }

    /** [any, group · count, d] to [any, group, count, d]. */
    Tensor split(Tensor rows, long group) {
      return rows.view(rows.size(0), group, count, -1);
    }

    /** What the block sees of [any, T, d]. */
    Tensor keys(Tensor x) {
      return x.narrow(1, firstKey, first + count - firstKey);
    }

    /** Takes from the softmax what a query must not see. */
    void hide(Tensor scores) {
      long keys = scores.size(2);
      Tensor byGroup = scores.view(scores.size(0), -1, count, keys);
      Tensor own = byGroup.narrow(3, keys - count, count);
      own.add_(hidden(scores, count, count).triu(1));
      if (window.isPresent() && window.getAsInt() < keys) {
        // Key j of the block's is too old for query i where i - j reaches the window.
        long last = first - firstKey - window.getAsInt();
        byGroup.add_(hidden(scores, count, keys).tril(last));
      }
    }
  }

  private static Tensor hidden(Tensor like, long rows, long columns) {
    return like.new_full(new long[] {rows, columns}, new Scalar(HIDDEN));
  }
}
