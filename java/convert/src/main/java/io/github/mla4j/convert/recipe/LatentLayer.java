package io.github.mla4j.convert.recipe;

import java.util.List;

/**
 * One layer of a converted model.
 *
 * @param ropeGroups G, rotary keys cached a token
 * @param ropeDims R, dims of each
 * @param frequencies inverse frequencies [G · R/2], group after group
 * @param latentLength C, latent elements cached a token
 * @param tensors all of the layer's
 */
public record LatentLayer(
    int ropeGroups,
    int ropeDims,
    float[] frequencies,
    int latentLength,
    List<OutputTensor> tensors) {

  public LatentLayer {
    tensors = List.copyOf(tensors);
  }

  /** Elements that the layer caches a token. */
  public int cachedElements() {
    return ropeGroups * ropeDims + latentLength;
  }
}
