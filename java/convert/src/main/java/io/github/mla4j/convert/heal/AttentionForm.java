package io.github.mla4j.convert.heal;

import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.torch.MatrixBlocks;
import java.util.Arrays;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * Sizes of a layer's attention. Plain and converted layers are one form; which of its parts a layer
 * has is told by its tensors (native/README.md).
 *
 * @param headLength d of the source: scores are scaled by 1/√d
 * @param ropeGroups G, rotary keys of a token
 * @param ropeDims R, dims of each
 * @param otherDims n, dims of a head's query and key besides the rotary ones
 * @param frequencies inverse frequencies of a group's R/2 pairs: a row each group, or a single row
 *     for all
 * @param rotaryFactor multiplies cosines and sines
 * @param splitsNormedHeads whether heads are made and normed whole, and rotary parts and the latent
 *     made of them
 * @param normsAfterRotation whether head norms follow the rotation
 * @param window tokens that attention reaches back, where limited
 */
record AttentionForm(
    int heads,
    int kvHeads,
    int headLength,
    int ropeGroups,
    int ropeDims,
    int otherDims,
    double[][] frequencies,
    double rotaryFactor,
    double normEpsilon,
    boolean splitsNormedHeads,
    boolean normsAfterRotation,
    OptionalInt window) {

  /** Of a model that is not converted: every dim of every head is rotary. */
  static AttentionForm plain(ModelConfig config) {
    return new AttentionForm(
        config.headCount(),
        config.kvHeadCount(),
        config.headLength(),
        config.kvHeadCount(),
        config.headLength(),
        0,
        new double[][] {config.rope().inverse()},
        config.rope().attentionFactor(),
        config.rmsEpsilon(),
        false,
        false,
        config.slidingWindow());
  }

  /**
   * Of a converted layer.
   *
   * @param queryRows rows of its query matrix
   * @param frequencies [G · R/2], group after group
   * @param splitsNormedHeads whether its query matrix makes heads without rotary parts
   */
  static AttentionForm converted(
      ModelConfig config,
      int ropeGroups,
      int ropeDims,
      int queryRows,
      double[] frequencies,
      boolean splitsNormedHeads,
      boolean normsAfterRotation) {
    return new AttentionForm(
        config.headCount(),
        config.kvHeadCount(),
        config.headLength(),
        ropeGroups,
        ropeDims,
        queryRows / config.headCount() - (splitsNormedHeads ? 0 : ropeDims),
        rows(frequencies, ropeGroups),
        config.rope().attentionFactor(),
        config.rmsEpsilon(),
        splitsNormedHeads,
        normsAfterRotation,
        config.slidingWindow());
  }

  private static double[][] rows(double[] frequencies, int groups) {
    double[][] rows = new double[groups][];
    for (int g = 0; g < groups; g++) {
      int each = frequencies.length / groups;
      rows[g] = Arrays.copyOfRange(frequencies, g * each, (g + 1) * each);
    }
    boolean alike = Arrays.stream(rows).allMatch(row -> Arrays.equals(row, rows[0]));
    return alike && groups > 1 ? new double[][] {rows[0]} : rows;
  }

  /** Width of a head's query and key. */
  int queryLength() {
    return ropeDims + otherDims;
  }

  /**
   * The heads that a matrix of the layer is made of.
   *
   * @param tensor its name without "blk.N."
   * @return empty for what is no matrix of the attention
   */
  Optional<MatrixBlocks> blocks(String tensor) {
    return switch (tensor) {
      case "attn_q.weight", "attn_q_rope.weight" -> Optional.of(MatrixBlocks.below(heads));
      case "attn_output.weight" -> Optional.of(MatrixBlocks.beside(heads));
      case "attn_k.weight" -> Optional.of(MatrixBlocks.below(ropeGroups));
      case "attn_k_in.weight",
          "attn_k_nope.weight",
          "attn_k_b.weight",
          "attn_v.weight",
          "attn_v_b.weight" ->
          Optional.of(MatrixBlocks.below(kvHeads));
      case "attn_kv_a.weight", "attn_k_a.weight", "attn_v_a.weight" ->
          Optional.of(MatrixBlocks.WHOLE);
      default -> Optional.empty();
    };
  }

  /** Query heads that share a key/value head. */
  int groupSize() {
    return heads / kvHeads;
  }
}
