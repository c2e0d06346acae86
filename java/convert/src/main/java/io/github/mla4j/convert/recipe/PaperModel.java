package io.github.mla4j.convert.recipe;

import io.github.mla4j.BadFileException;
import io.github.mla4j.convert.RopeSelection;
import io.github.mla4j.convert.SvdMethod;
import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.source.ModelFamily;
import io.github.mla4j.convert.source.PairOrder;
import io.github.mla4j.convert.source.PaperCheckpoint;
import io.github.mla4j.convert.source.PaperSettings;
import io.github.mla4j.convert.source.RowSelection;
import io.github.mla4j.convert.source.WeightTensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** A checkpoint of the paper's own code, brought into the form of the converted file as it is. */
public final class PaperModel implements LatentModel {
  private final PaperCheckpoint checkpoint;
  private final ModelConfig config;
  private final PaperSettings settings;

  /**
   * @throws BadFileException if its settings do not fit its sizes
   */
  public PaperModel(PaperCheckpoint checkpoint) {
    this.checkpoint = checkpoint;
    this.config = checkpoint.config();
    this.settings = checkpoint.settings();
    try {
      settingsOf(checkpoint).check(config);
    } catch (IllegalArgumentException e) {
      throw new BadFileException("%s: mha2mla: %s".formatted(checkpoint.name(), e.getMessage()));
    }
    int step = settings.ropeDims() == 0 ? 1 : config.headLength() / settings.ropeDims();
    if (settings.rope() == RopeSelection.UNIFORM && settings.uniformStart() >= step) {
      throw new BadFileException(
          "%s: mha2mla: uniform_start_point is %d: expected less than %d"
              .formatted(checkpoint.name(), settings.uniformStart(), step));
    }
  }

  /** What the checkpoint was converted with. */
  public static Mha2MlaSettings settingsOf(PaperCheckpoint checkpoint) {
    PaperSettings settings = checkpoint.settings();
    return new Mha2MlaSettings(
        settings.rope(), settings.ropeDims(), settings.svd(), settings.rank());
  }

  @Override
  public ModelConfig config() {
    return config;
  }

  @Override
  public boolean normsAfterRotation() {
    return config.family() == ModelFamily.QWEN3;
  }

  @Override
  public List<OutputTensor> sharedTensors() {
    return SourceTensors.shared(checkpoint);
  }

  @Override
  public LatentLayer layer(int index) {
    KeptPairs kept = keptPairs(index);
    int r = kept.ropeDims();
    int embedding = config.embeddingLength();
    int keyRows = config.kvHeadCount() * r;
    AttentionTensors attention = new AttentionTensors(config, index, r);
    int[] queryRows = queryRows(r);
    attention.queries(
        new RowSelection(matrix(index, "q_proj", config.queryRows(), embedding), queryRows),
        bias(index, "q_proj", config.queryRows()).map(b -> PairOrder.select(b, queryRows)));
    if (r > 0) {
      attention.rotaryKeys(
          matrix(index, "k_r_proj", keyRows, embedding), bias(index, "k_r_proj", keyRows));
    }
    latents(attention, index, config.kvRows() - keyRows);
    headNorms(attention, index);
    attention.output(
        matrix(index, "o_proj", embedding, config.queryRows()),
        bias(index, "o_proj", embedding),
        bias(index, "kv_proj.up_v", config.kvRows()));
    List<OutputTensor> tensors = new ArrayList<>(attention.tensors());
    tensors.addAll(SourceTensors.besidesAttention(checkpoint, index));
    return new LatentLayer(
        config.kvHeadCount(),
        r,
        kept.frequencies(config.rope().inverse()),
        attention.latentLength(),
        tensors);
  }

  private KeptPairs keptPairs(int layer) {
    return settings.rope() == RopeSelection.TWO_NORM
        ? KeptPairs.byRank(checkpoint.pairRanks()[layer], config.headLength(), settings.ropeDims())
        : KeptPairs.byFrequency(
            settings.rope(),
            config.headLength(),
            settings.ropeDims(),
            settings.uniformStart(),
            config.kvHeadCount());
  }

  /** The checkpoint holds all heads' rotary rows first; the file wants them head by head. */
  private int[] queryRows(int r) {
    int d = config.headLength();
    int[] rows = new int[config.queryRows()];
    for (int head = 0; head < config.headCount(); head++) {
      for (int i = 0; i < d; i++) {
        rows[head * d + i] = i < r ? head * r + i : config.headCount() * r + head * (d - r) + i - r;
      }
    }
    return rows;
  }

  private void latents(AttentionTensors attention, int layer, int otherRows) {
    int embedding = config.embeddingLength();
    int latent = settings.rank() * config.kvHeadCount();
    if (settings.svd() == SvdMethod.JOINT) {
      attention.jointLatent(
          matrix(layer, "kv_proj.down_kv", latent, embedding),
          otherRows == 0
              ? new float[0]
              : matrix(layer, "kv_proj.up_k", otherRows, latent).readAll(),
          matrix(layer, "kv_proj.up_v", config.kvRows(), latent).readAll());
      return;
    }
    if (otherRows > 0) {
      if (settings.svd().factorsKeys()) {
        attention.keyLatent(
            matrix(layer, "kv_proj.down_k", latent, embedding),
            matrix(layer, "kv_proj.up_k", otherRows, latent).readAll());
      } else {
        attention.plainKeys(matrix(layer, "kv_proj.up_k", otherRows, embedding));
      }
    }
    if (settings.svd().factorsValues()) {
      attention.valueLatent(
          matrix(layer, "kv_proj.down_v", latent, embedding),
          matrix(layer, "kv_proj.up_v", config.kvRows(), latent).readAll());
    } else {
      attention.plainValues(matrix(layer, "kv_proj.up_v", config.kvRows(), embedding));
    }
  }

  /** In the order of a head's rows, like them. */
  private void headNorms(AttentionTensors attention, int layer) {
    if (config.family() != ModelFamily.QWEN3) {
      return;
    }
    if (bias(layer, "k_r_proj", config.kvHeadCount() * settings.ropeDims()).isPresent()) {
      throw new BadFileException(
          "%s: layer %d: key biases together with key norms are not supported"
              .formatted(checkpoint.name(), layer));
    }
    int d = config.headLength();
    attention.headNorms(
        checkpoint.attention(layer, "q_norm.weight", 1, d).readAll(),
        checkpoint.attention(layer, "k_norm.weight", 1, d).readAll());
  }

  private WeightTensor matrix(int layer, String module, int rows, int columns) {
    return checkpoint.attention(layer, module + ".weight", rows, columns);
  }

  private Optional<float[]> bias(int layer, String module, int length) {
    return checkpoint.attentionVector(layer, module + ".bias", length);
  }
}
