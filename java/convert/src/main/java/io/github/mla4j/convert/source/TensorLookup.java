package io.github.mla4j.convert.source;

import io.github.mla4j.BadFileException;
import java.util.Optional;

/** Tensors by llama.cpp's names. */
public interface TensorLookup {

  /** The file or folder, for messages. */
  String name();

  /**
   * The tensor of this name, empty where the model has none.
   *
   * @throws BadFileException if it is stored in a way that cannot be read
   */
  Optional<WeightTensor> find(String name);

  /** The tensor of this name, which must exist. */
  default WeightTensor tensor(String name) {
    return find(name)
        .orElseThrow(
            () -> new BadFileException("%s: tensor '%s' is missing".formatted(name(), name)));
  }
}
