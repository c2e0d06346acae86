package io.github.mla4j.convert.output;

import io.github.mla4j.convert.recipe.Mha2MlaSettings;
import io.github.mla4j.gguf.GgufWriter;
import java.util.Optional;

/**
 * Where a converted file comes from.
 *
 * @param settings of the recipe
 * @param sourceName the source's file or folder name
 * @param sourceSha256 of its weight files, one after the other in order of name
 * @param calibrationSha256 of the calibration text, where one was used
 * @param toolVersion of this library
 */
public record Provenance(
    Mha2MlaSettings settings,
    String sourceName,
    String sourceSha256,
    Optional<String> calibrationSha256,
    String toolVersion) {

  private static final String PREFIX = LatentModelWriter.PREFIX + "conversion.";

  /**
   * @param reduction the fraction of cached elements that the conversion saves
   */
  void write(GgufWriter writer, double reduction) {
    writer.set(PREFIX + "method", "mha2mla");
    writer.set(PREFIX + "rope", settings.rope().label());
    writer.set(PREFIX + "rope_dims", settings.ropeDims());
    writer.set(PREFIX + "svd", settings.svd().label());
    writer.set(PREFIX + "rank", settings.rank());
    writer.set(PREFIX + "reduction", (float) reduction);
    calibrationSha256.ifPresent(hash -> writer.set(PREFIX + "calibration_sha256", hash));
    writer.set(PREFIX + "source_sha256", sourceSha256);
    writer.set(PREFIX + "source_name", sourceName);
    writer.set(PREFIX + "tool_version", toolVersion);
  }
}
