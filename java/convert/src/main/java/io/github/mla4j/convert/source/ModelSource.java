package io.github.mla4j.convert.source;

import java.nio.file.Path;
import java.util.List;

/**
 * A plain MHA/GQA model to convert. Tensors carry llama.cpp's names whatever the file calls them;
 * rows of queries and keys, and elements of their biases and norms, are ordered so that a head's
 * rotary pairs are halves (i, i + d/2). Opening has checked every tensor's presence and shape.
 * Nothing is held in memory but what a caller reads. Any thread.
 */
public sealed interface ModelSource extends TensorLookup, AutoCloseable
    permits GgufSource, HuggingFaceSource {

  ModelConfig config();

  /** The files that hold the weights, in order of name. */
  List<Path> weightFiles();

  /**
   * Gives back the memory that reading has left behind, if any. A reader that has done with a layer
   * says so by this, or a large model would be in memory as a whole in the end.
   */
  default void releasePages() {}

  @Override
  void close();
}
