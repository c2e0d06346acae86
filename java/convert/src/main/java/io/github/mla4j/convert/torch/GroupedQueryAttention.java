package io.github.mla4j.convert.torch;

import static org.bytedeco.pytorch.global.torch.linear;
import static org.bytedeco.pytorch.global.torch.scaled_dot_product_attention;

import org.bytedeco.pytorch.DoubleOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;

/** Llama's own attention: several query heads share one key and one value head. */
public final class GroupedQueryAttention implements SelfAttention {
  private final LlamaShape shape;
  private final Tensor query; // [heads * headDim, hidden]
  private final Tensor key; // [kvHeads * headDim, hidden]
  private final Tensor value; // [kvHeads * headDim, hidden]
  private final Tensor output; // [hidden, heads * headDim]

  public GroupedQueryAttention(LlamaShape shape, int layer, Parameters parameters) {
    this.shape = shape;
    query = parameters.get(LlamaNames.query(layer), shape.queryWidth(), shape.hidden());
    key = parameters.get(LlamaNames.key(layer), shape.kvWidth(), shape.hidden());
    value = parameters.get(LlamaNames.value(layer), shape.kvWidth(), shape.hidden());
    output = parameters.get(LlamaNames.output(layer), shape.hidden(), shape.queryWidth());
  }

  @Override
  public Tensor forward(Tensor x, RotaryTable rotary) {
    Tensor q = rotary.rotate(heads(linear(x, query), shape.heads()));
    Tensor k = repeat(rotary.rotate(heads(linear(x, key), shape.kvHeads())));
    Tensor v = repeat(heads(linear(x, value), shape.kvHeads()));
    Tensor attended =
        scaled_dot_product_attention(
            q, k, v, new TensorOptional(), 0.0, true, new DoubleOptional(), false);
    return linear(
        attended.transpose(1, 2).reshape(x.size(0), x.size(1), shape.queryWidth()), output);
  }

  /** [batch, length, count * headDim] to [batch, count, length, headDim]. */
  private Tensor heads(Tensor x, int count) {
    return x.view(x.size(0), x.size(1), count, shape.headDim()).transpose(1, 2);
  }

  /**
   * [batch, kvHeads, length, headDim] to [batch, heads, length, headDim]: PyTorch's fast kernel on
   * the CPU wants as many key heads as query heads.
   */
  private Tensor repeat(Tensor x) {
    int group = shape.heads() / shape.kvHeads();
    if (group == 1) {
      return x;
    }
    long batch = x.size(0);
    long length = x.size(2);
    return x.unsqueeze(2)
        .expand(batch, shape.kvHeads(), group, length, shape.headDim())
        .reshape(batch, shape.heads(), length, shape.headDim());
  }
}
