package io.github.mla4j.convert.recipe;

import io.github.mla4j.convert.source.ModelConfig;
import java.io.IOException;
import java.util.List;

/** A model in latent form, made one layer at a time. */
public interface LatentModel {

  /** Sizes of the source, which the converted file repeats. */
  ModelConfig config();

  /**
   * Whether head norms follow the rotation instead of preceding it. Their weights make this matter:
   * the paper's code norms rotated heads, Qwen3 rotates normed ones.
   */
  boolean normsAfterRotation();

  /** Embedding, final norm, output matrix. */
  List<OutputTensor> sharedTensors() throws IOException;

  /** Makes a layer; what it took to make it can be dropped once its tensors are written. */
  LatentLayer layer(int index) throws IOException;
}
