package io.github.mla4j.convert.output;

import io.github.mla4j.convert.recipe.RecipeKeys;
import io.github.mla4j.gguf.GgufWriter;
import java.util.Optional;

/**
 * Where a converted file comes from.
 *
 * @param recipe and its settings
 * @param sourceName the source's file or folder name
 * @param sourceSha256 of its weight files, one after the other in order of name
 * @param calibrationSha256 of the calibration text, where one was used
 * @param toolVersion of this library
 */
public record Provenance(
    RecipeKeys recipe,
    String sourceName,
    String sourceSha256,
    Optional<String> calibrationSha256,
    String toolVersion) {

  private static final String PREFIX = LatentModelWriter.PREFIX + "conversion.";

  /**
   * @param reduction the fraction of cached elements that the conversion saves
   */
  void write(GgufWriter writer, double reduction) {
    recipe.write(writer, PREFIX);
    writer.set(PREFIX + "reduction", (float) reduction);
    calibrationSha256.ifPresent(hash -> writer.set(PREFIX + "calibration_sha256", hash));
    writer.set(PREFIX + "source_sha256", sourceSha256);
    writer.set(PREFIX + "source_name", sourceName);
    writer.set(PREFIX + "tool_version", toolVersion);
  }
}
