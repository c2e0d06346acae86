package io.github.mla4j.convert.source;

import io.github.mla4j.BadFileException;
import io.github.mla4j.convert.RopeSelection;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * A Hugging Face directory written by the paper's own code: attention is already factored. Tensors
 * keep the order of the file.
 */
public final class PaperCheckpoint implements TensorLookup, AutoCloseable {
  private final Path folder;
  private final ModelConfig config;
  private final PaperSettings settings;
  private final SafetensorsFolder weights;
  private final int[][][] pairRanks;

  private PaperCheckpoint(
      Path folder,
      ModelConfig config,
      PaperSettings settings,
      SafetensorsFolder weights,
      int[][][] pairRanks) {
    this.folder = folder;
    this.config = config;
    this.settings = settings;
    this.weights = weights;
    this.pairRanks = pairRanks;
  }

  /** Whether the folder's config says that its model is converted. */
  public static boolean isOne(Path folder) throws IOException {
    return PaperSettings.parse(HuggingFaceConfig.open(folder)).isPresent();
  }

  /**
   * Opens a converted checkpoint; the caller closes it.
   *
   * @param rankFile of a 2-norm choice; empty: the file that the config names, or a tensor of that
   *     name in the folder or the one above
   * @throws BadFileException if files are missing, damaged or contradictory
   */
  public static PaperCheckpoint open(Path folder, Optional<Path> rankFile) throws IOException {
    ConfigFile file = HuggingFaceConfig.open(folder);
    PaperSettings settings =
        PaperSettings.parse(file)
            .orElseThrow(() -> file.bad("no object 'mha2mla': not a converted checkpoint"));
    ModelConfig config = HuggingFaceConfig.parse(file);
    int[][][] ranks =
        settings.rope() == RopeSelection.TWO_NORM
            ? PairRankFile.find(folder, settings, config, rankFile)
            : new int[0][][];
    PaperCheckpoint checkpoint =
        new PaperCheckpoint(folder, config, settings, SafetensorsFolder.open(folder), ranks);
    try {
      DecoderTensors.checkBesidesAttention(checkpoint, config);
      return checkpoint;
    } catch (Throwable e) {
      checkpoint.close();
      throw e;
    }
  }

  @Override
  public String name() {
    return folder.toString();
  }

  public ModelConfig config() {
    return config;
  }

  public PaperSettings settings() {
    return settings;
  }

  /** A tensor besides attention, which conversion leaves as it is. */
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

  /**
   * A matrix of a layer's attention, by its name in the state dict.
   *
   * @throws BadFileException if it is missing or not [rows, columns]
   */
  public WeightTensor attention(int layer, String name, int rows, int columns) {
    WeightTensor tensor = weights.tensor(attentionName(layer, name));
    DecoderTensors.expect(name(), tensor, rows, columns);
    return tensor;
  }

  /** A vector of a layer's attention that may be absent. */
  public Optional<float[]> attentionVector(int layer, String name, int length) {
    Optional<WeightTensor> tensor = weights.find(attentionName(layer, name));
    if (tensor.isPresent()) {
      DecoderTensors.expect(name(), tensor.get(), 1, length);
    }
    return tensor.map(WeightTensor::readAll);
  }

  private static String attentionName(int layer, String name) {
    return HuggingFaceNames.inLayer(layer, "self_attn." + name);
  }

  /** Of a 2-norm choice: [layers][kvHeads][d/2], 0 for the pair that matters most. */
  public int[][][] pairRanks() {
    return pairRanks;
  }

  /** The files that hold the weights, in order of name. */
  public List<Path> weightFiles() {
    return weights.files();
  }

  @Override
  public void close() {
    weights.close();
  }
}
