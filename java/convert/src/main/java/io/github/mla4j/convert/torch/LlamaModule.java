package io.github.mla4j.convert.torch;

import static org.bytedeco.pytorch.global.torch.embedding;
import static org.bytedeco.pytorch.global.torch.linear;
import static org.bytedeco.pytorch.global.torch.rms_norm;
import static org.bytedeco.pytorch.global.torch.silu;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.DoubleOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;

/**
 * A Llama decoder over PyTorch tensors, for training.
 *
 * <p>The attention is made by a {@link SelfAttention.Factory}, so that a converted model is this
 * class with another attention. Owns its parameters. Not thread-safe.
 */
public final class LlamaModule implements AutoCloseable {
  private final LlamaShape shape;
  private final Parameters parameters;
  private final RotaryTable rotary;
  private final Tensor embedding; // [vocabulary, hidden], also the output projection
  private final List<Block> blocks = new ArrayList<>();
  private final Tensor finalNorm; // [hidden]

  /**
   * Builds the model around {@code parameters}, which it takes over.
   *
   * @throws java.util.NoSuchElementException when a tensor is missing
   * @throws IllegalArgumentException when a tensor has another shape than {@code shape} asks for
   */
  public LlamaModule(LlamaShape shape, Parameters parameters, SelfAttention.Factory attention) {
    this.shape = shape;
    this.parameters = parameters;
    int hidden = shape.hidden();
    embedding = parameters.get(LlamaNames.EMBEDDING, shape.vocabulary(), hidden);
    for (int layer = 0; layer < shape.layers(); layer++) {
      blocks.add(
          new Block(
              parameters.get(LlamaNames.attentionNorm(layer), hidden),
              attention.create(shape, layer, parameters),
              parameters.get(LlamaNames.feedForwardNorm(layer), hidden),
              parameters.get(LlamaNames.gate(layer), shape.feedForward(), hidden),
              parameters.get(LlamaNames.up(layer), shape.feedForward(), hidden),
              parameters.get(LlamaNames.down(layer), hidden, shape.feedForward())));
    }
    finalNorm = parameters.get(LlamaNames.FINAL_NORM, hidden);
    rotary = new RotaryTable(shape.context(), shape.headDim(), shape.ropeTheta());
  }

  /** Tensors of one decoder block; the matrices are [out, in]. */
  private record Block(
      Tensor attentionNorm,
      SelfAttention attention,
      Tensor feedForwardNorm,
      Tensor gate,
      Tensor up,
      Tensor down) {}

  public LlamaShape shape() {
    return shape;
  }

  public Parameters parameters() {
    return parameters;
  }

  /** Evaluates without dropout; see {@link #logits(Tensor, Dropout)}. */
  public Tensor logits(Tensor tokens) {
    return logits(tokens, Dropout.NONE);
  }

  /**
   * The scores of every next token.
   *
   * @param tokens [batch, length] of int64, length at most the context
   * @param dropout applied to everything that is added to the residual stream
   * @return [batch, length, vocabulary], freed with the caller's {@link TorchScope}
   */
  public Tensor logits(Tensor tokens, Dropout dropout) {
    Tensor x = dropout.apply(embedding(embedding, tokens));
    for (Block block : blocks) {
      x = x.add(dropout.apply(block.attention.forward(norm(x, block.attentionNorm), rotary)));
      Tensor normed = norm(x, block.feedForwardNorm);
      Tensor inner = silu(linear(normed, block.gate)).mul(linear(normed, block.up));
      x = x.add(dropout.apply(linear(inner, block.down)));
    }
    return linear(norm(x, finalNorm), embedding);
  }

  private Tensor norm(Tensor x, Tensor weight) {
    return rms_norm(
        x,
        new long[] {shape.hidden()},
        new TensorOptional(weight),
        new DoubleOptional(shape.normEpsilon()));
  }

  @Override
  public void close() {
    rotary.close();
    parameters.close();
  }
}
