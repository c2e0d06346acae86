package io.github.mla4j.convert.train;

import java.util.List;

/**
 * What a model file says about itself.
 *
 * @param name short, as one would call the file
 * @param description what the model is and how it was made
 * @param license SPDX identifier, lower case as in GGUF files
 * @param datasets what it was trained on
 */
record ModelCard(String name, String description, String license, List<String> datasets) {
  ModelCard {
    datasets = List.copyOf(datasets);
  }
}
