package io.github.mla4j.convert.calibrated;

import static org.bytedeco.pytorch.global.torch.cat;

import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.source.ModelFamily;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;

/**
 * What a layer's latent is a linear map of. Plain keys are linear in what the attention reads, x.
 * Normed ones are not, so that there the whole keys lie beside it: z = [x ; k̂].
 */
final class LatentInput {
  private LatentInput() {}

  /** Whether queries and keys are normed head by head, before they are rotated. */
  static boolean normsHeads(ModelConfig config) {
    return config.family() == ModelFamily.QWEN3;
  }

  /** Z, elements of z: D, or D + kvHeads · d. */
  static int length(ModelConfig config) {
    return config.embeddingLength() + (normsHeads(config) ? config.kvRows() : 0);
  }

  /**
   * z, [T, Z].
   *
   * @param x [T, D]
   * @param keys of all heads before rotation, [kvHeads, T, d]
   */
  static Tensor of(ModelConfig config, Tensor x, Tensor keys) {
    return normsHeads(config) ? beside(x, flat(keys)) : x;
  }

  /**
   * Both inputs, one after the other.
   *
   * @param x [rows, D]
   * @param keys [rows, kvHeads · d]
   */
  static Tensor beside(Tensor x, Tensor keys) {
    return cat(new TensorVector(x, keys), 1);
  }

  /** [kvHeads, T, d] to [T, kvHeads · d]. */
  static Tensor flat(Tensor heads) {
    return heads.transpose(0, 1).reshape(heads.size(1), -1);
  }
}
