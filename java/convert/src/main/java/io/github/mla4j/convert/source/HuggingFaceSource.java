package io.github.mla4j.convert.source;

import io.github.mla4j.BadFileException;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/** A Hugging Face directory: {@code config.json} and safetensors. */
public final class HuggingFaceSource implements ModelSource {
  private final Path folder;
  private final ModelConfig config;
  private final SafetensorsFolder weights;

  private HuggingFaceSource(Path folder, ModelConfig config, SafetensorsFolder weights) {
    this.folder = folder;
    this.config = config;
    this.weights = weights;
  }

  /**
   * Opens a folder; the caller closes the source.
   *
   * @throws BadFileException if the folder's files are missing, damaged or contradictory, or hold a
   *     model of another kind
   */
  public static HuggingFaceSource open(Path folder) throws IOException {
    ModelConfig config = HuggingFaceConfig.parse(HuggingFaceConfig.open(folder));
    SafetensorsFolder weights = SafetensorsFolder.open(folder);
    try {
      HuggingFaceSource source = new HuggingFaceSource(folder, config, weights);
      source.refuseUnknownTensors();
      DecoderTensors.check(source);
      return source;
    } catch (Throwable e) {
      weights.close();
      throw e;
    }
  }

  /** A tensor that would be left out changes what the model says, so it must not go unseen. */
  private void refuseUnknownTensors() {
    for (String name : weights.names()) {
      if (name.startsWith("model.layers.")
          && !name.endsWith("rotary_emb.inv_freq")
          && HuggingFaceNames.toGguf(name).isEmpty()) {
        throw new BadFileException(
            "%s: tensor '%s' is not known for %s models"
                .formatted(folder, name, config.family().architecture()));
      }
    }
  }

  @Override
  public String name() {
    return folder.toString();
  }

  @Override
  public ModelConfig config() {
    return config;
  }

  @Override
  public Optional<WeightTensor> find(String name) {
    if (name.equals(DecoderTensors.OUTPUT) && config.tiedEmbeddings()) {
      return Optional.empty();
    }
    Optional<String> original = HuggingFaceNames.ofGguf(name);
    return original.isEmpty() ? Optional.empty() : weights.find(original.get());
  }

  @Override
  public WeightTensor tensor(String name) {
    Optional<WeightTensor> found = find(name);
    return found.isPresent()
        ? found.get()
        : weights.tensor(HuggingFaceNames.ofGguf(name).orElse(name));
  }

  @Override
  public List<Path> weightFiles() {
    return weights.files();
  }

  @Override
  public void close() {
    weights.close();
  }
}
