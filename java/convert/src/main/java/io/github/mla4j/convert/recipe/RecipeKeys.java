package io.github.mla4j.convert.recipe;

import io.github.mla4j.gguf.GgufWriter;

/** A recipe's choices as keys of the converted file. */
public interface RecipeKeys {
  /**
   * Writes {@code method} and what else the recipe was told.
   *
   * @param prefix of the keys, with its dot
   */
  void write(GgufWriter writer, String prefix);
}
