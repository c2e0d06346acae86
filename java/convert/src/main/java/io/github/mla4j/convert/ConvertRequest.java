package io.github.mla4j.convert;

import io.github.mla4j.gguf.TensorType;
import java.nio.file.Path;
import java.util.Objects;
import java.util.Optional;

/**
 * What to convert, and how, by recipe {@code mha2mla}. Values are checked against the source by
 * {@link Converter#convert}, not here.
 *
 * @param source a GGUF file or a Hugging Face directory
 * @param output the GGUF file to write
 * @param rope which rotary pairs are kept
 * @param ropeDims rotary dims kept per head (R), twice the pairs
 * @param svd how the rest is factored
 * @param rank latent dims per KV head (d_kv); ignored by {@link SvdMethod#NONE}
 * @param calibration needed by {@link RopeSelection#TWO_NORM}
 * @param type weight type of the output; empty keeps each tensor's own type
 */
public record ConvertRequest(
    Path source,
    Path output,
    RopeSelection rope,
    int ropeDims,
    SvdMethod svd,
    int rank,
    Optional<Calibration> calibration,
    Optional<TensorType> type) {

  public ConvertRequest {
    Objects.requireNonNull(source, "source");
    Objects.requireNonNull(output, "output");
    Objects.requireNonNull(rope, "rope");
    Objects.requireNonNull(svd, "svd");
    Objects.requireNonNull(calibration, "calibration");
    Objects.requireNonNull(type, "type");
  }

  /** A request that keeps the source's weight types and needs no calibration. */
  public ConvertRequest(
      Path source, Path output, RopeSelection rope, int ropeDims, SvdMethod svd, int rank) {
    this(source, output, rope, ropeDims, svd, rank, Optional.empty(), Optional.empty());
  }

  /** The same with a calibration text. */
  public ConvertRequest withCalibration(Calibration calibration) {
    return new ConvertRequest(
        source, output, rope, ropeDims, svd, rank, Optional.of(calibration), type);
  }

  /** The same with this weight type for the output. */
  public ConvertRequest withType(TensorType type) {
    return new ConvertRequest(
        source, output, rope, ropeDims, svd, rank, calibration, Optional.of(type));
  }
}
