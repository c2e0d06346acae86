package io.github.mla4j.convert.heal;

import static org.bytedeco.pytorch.global.torch.linear;
import static org.bytedeco.pytorch.global.torch.silu;
import static org.bytedeco.pytorch.global.torch.silu_backward;

import java.util.Map;
import java.util.function.Supplier;
import org.bytedeco.pytorch.Tensor;

/**
 * The gated MLP, down · (silu(gate · x) ∘ (up · x)), with its derivative in closed form: where its
 * weights stay as they are, the derivative by the input is all that is needed.
 */
final class FeedForward {
  private static final String GATE = "ffn_gate.weight";
  private static final String UP = "ffn_up.weight";
  private static final String DOWN = "ffn_down.weight";

  private final String prefix;
  private final Tensor gate; // [F, D]
  private final Tensor up; // [F, D]
  private final Tensor down; // [D, F]

  /**
   * @param prefix of the tensors' names in the model, "blk.N."
   * @param tensors the layer's, by their names without it
   */
  FeedForward(String prefix, Map<String, Tensor> tensors) {
    this.prefix = prefix;
    this.gate = tensors.get(GATE);
    this.up = tensors.get(UP);
    this.down = tensors.get(DOWN);
  }

  /** What the derivative needs of a forward pass, [N, F] each. */
  record Inner(Tensor gated, Tensor raised) {}

  Inner inner(Tensor x) {
    return new Inner(linear(x, gate), linear(x, up));
  }

  Tensor output(Inner inner) {
    return linear(silu(inner.gated).mul_(inner.raised), down);
  }

  /**
   * The gradient by {@code x}; those by weights that are trained are added to {@code gradients}.
   *
   * @param x what {@link #inner} was made of; asked for where weights are trained
   * @param byOutput the gradient by the output, [N, D]
   */
  Tensor backward(Supplier<Tensor> x, Inner inner, Tensor byOutput, Gradients gradients) {
    Tensor opened = silu(inner.gated);
    if (gradients.wants(prefix + DOWN)) {
      gradients.add(prefix + DOWN, byOutput.t().mm(opened.mul(inner.raised)));
    }
    Tensor byProduct = byOutput.mm(down);
    Tensor byRaised = opened.mul_(byProduct);
    Tensor byGated = silu_backward(byProduct.mul_(inner.raised), inner.gated);
    if (gradients.wants(prefix + GATE)) {
      gradients.add(prefix + GATE, byGated.t().mm(x.get()));
      gradients.add(prefix + UP, byRaised.t().mm(x.get()));
    }
    return byGated.mm(gate).addmm_(byRaised, up);
  }
}
