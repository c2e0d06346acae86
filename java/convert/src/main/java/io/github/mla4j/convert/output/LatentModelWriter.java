package io.github.mla4j.convert.output;

import io.github.mla4j.convert.recipe.LatentLayer;
import io.github.mla4j.convert.recipe.LatentModel;
import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.gguf.GgufWriter;
import java.io.IOException;
import java.util.function.IntConsumer;

/** Writes a converted model layer by layer, in the form of native/README.md. */
public final class LatentModelWriter {
  static final String PREFIX = "mha2mla.";
  private static final int FORMAT_VERSION = 1;

  private final LatentModel model;
  private final GgufWriter writer;
  private final TensorWriter tensors;
  private long cachedElements;

  public LatentModelWriter(LatentModel model, GgufWriter writer, OutputTypes types) {
    this.model = model;
    this.writer = writer;
    this.tensors = new TensorWriter(writer, types);
  }

  /**
   * Makes and writes everything; the caller finishes the file.
   *
   * @param layerDone told how many layers are written
   */
  public void write(ModelMetadata metadata, Provenance provenance, IntConsumer layerDone)
      throws IOException {
    ModelConfig config = model.config();
    metadata.write(writer);
    writeSizes(config);
    model.sharedTensors().forEach(tensors::write);
    RotaryKeys rotary = new RotaryKeys(config);
    for (int i = 0; i < config.blockCount(); i++) {
      LatentLayer layer = model.layer(i);
      rotary.add(i, layer);
      cachedElements += layer.cachedElements();
      layer.tensors().forEach(tensors::write);
      layerDone.accept(i + 1);
    }
    rotary.write(writer);
    provenance.write(writer, 1 - (double) cachedElements / plainElements(config));
  }

  /** Elements that the written model caches a token, all layers. */
  public long cachedElements() {
    return cachedElements;
  }

  /** Elements that a plain model of these sizes caches a token, all layers. */
  public static long plainElements(ModelConfig config) {
    return 2L * config.kvRows() * config.blockCount();
  }

  private void writeSizes(ModelConfig config) {
    writer.set("general.architecture", "mha2mla");
    writer.set(PREFIX + "format_version", FORMAT_VERSION);
    writer.set(PREFIX + "base_architecture", config.family().architecture());
    ModelSizes.write(writer, PREFIX, config);
    writer.set(PREFIX + "rope.freq_base", (float) config.rope().base());
    if (config.rope().attentionFactor() != 1) {
      writer.set(PREFIX + "rope.attention_factor", (float) config.rope().attentionFactor());
    }
    if (model.normsAfterRotation()) {
      writer.set(PREFIX + "attention.norm_after_rope", true);
    }
  }

  /** The arrays that have an entry a layer. */
  private static final class RotaryKeys {
    private final int[] groups;
    private final int[] dims;
    private final int[] latents;
    private final float[][] frequencies;

    RotaryKeys(ModelConfig config) {
      groups = new int[config.blockCount()];
      dims = new int[config.blockCount()];
      latents = new int[config.blockCount()];
      frequencies = new float[config.blockCount()][];
    }

    void add(int index, LatentLayer layer) {
      groups[index] = layer.ropeGroups();
      dims[index] = layer.ropeDims();
      latents[index] = layer.latentLength();
      frequencies[index] = layer.frequencies();
    }

    void write(GgufWriter writer) {
      int total = 0;
      for (float[] layer : frequencies) {
        total += layer.length;
      }
      float[] all = new float[total];
      int next = 0;
      for (float[] layer : frequencies) {
        System.arraycopy(layer, 0, all, next, layer.length);
        next += layer.length;
      }
      writer.set(PREFIX + "attention.rope_group_counts", groups);
      writer.set(PREFIX + "rope.dimension_counts", dims);
      writer.set(PREFIX + "rope.frequencies", all);
      writer.set(PREFIX + "attention.latent_lengths", latents);
    }
  }
}
