package io.github.mla4j.convert.torch;

/**
 * The sizes of a Llama-architecture model with tied embeddings.
 *
 * @param vocabulary number of tokens
 * @param hidden width of the residual stream
 * @param layers number of decoder blocks
 * @param heads number of query heads
 * @param kvHeads number of key/value heads; divides {@code heads}
 * @param headDim width of one head; even, because rotary positions turn pairs
 * @param feedForward inner width of the gated feed-forward block
 * @param context longest sequence, in tokens
 * @param ropeTheta base of the rotary frequencies
 * @param normEpsilon added under the root of every RMS norm
 */
public record LlamaShape(
    int vocabulary,
    int hidden,
    int layers,
    int heads,
    int kvHeads,
    int headDim,
    int feedForward,
    int context,
    double ropeTheta,
    double normEpsilon) {

  public LlamaShape {
    requirePositive("vocabulary", vocabulary);
    requirePositive("hidden", hidden);
    requirePositive("layers", layers);
    requirePositive("heads", heads);
    requirePositive("kvHeads", kvHeads);
    requirePositive("headDim", headDim);
    requirePositive("feedForward", feedForward);
    requirePositive("context", context);
    if (heads % kvHeads != 0) {
      throw new IllegalArgumentException(
          "kvHeads is %d, expected a divisor of heads (%d)".formatted(kvHeads, heads));
    }
    if (headDim % 2 != 0) {
      throw new IllegalArgumentException("headDim is " + headDim + ", expected an even number");
    }
    if (!(ropeTheta > 1)) {
      throw new IllegalArgumentException("ropeTheta is " + ropeTheta + ", expected more than 1");
    }
    if (!(normEpsilon > 0)) {
      throw new IllegalArgumentException(
          "normEpsilon is " + normEpsilon + ", expected more than 0");
    }
  }

  private static void requirePositive(String name, int value) {
    if (value < 1) {
      throw new IllegalArgumentException(name + " is " + value + ", expected at least 1");
    }
  }

  /** Width of all query heads side by side. */
  public int queryWidth() {
    return heads * headDim;
  }

  /** Width of all key (or value) heads side by side. */
  public int kvWidth() {
    return kvHeads * headDim;
  }
}
