package io.github.mla4j.convert;

import io.github.mla4j.convert.torch.FastestType;
import io.github.mla4j.gguf.TensorType;
import java.nio.file.Path;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * What to convert by recipe {@code calibrated}, and how. Values are checked against the source by
 * {@link Converter#convert(CalibratedRequest, ProgressListener)}, not here.
 *
 * @param source a GGUF file or a Hugging Face directory
 * @param output the GGUF file to write
 * @param reduction share of the source's cached elements that is removed, rotary part included; at
 *     least 0 and below 1
 * @param ropeDims rotary dims a group of every layer; empty: chosen layer by layer
 * @param rank latent dims of every layer; empty: what the layer's share of the budget leaves beside
 *     the rotary dims
 * @param spread whether layers that need more may cache more; else every layer caches as much
 * @param calibration the text that the source is measured on
 * @param windows of that text, at most
 * @param windowTokens tokens of a window, at most; the model's context limits it too
 * @param refineSteps of fitting a layer after it is factored; 0: none
 * @param rotation coordinates in which latents are cached
 * @param seed of what is sampled
 * @param type weight type of the output; empty keeps each tensor's own type, and new matrices take
 *     Q8_0 where the source is quantized
 */
public record CalibratedRequest(
    Path source,
    Path output,
    double reduction,
    OptionalInt ropeDims,
    OptionalInt rank,
    boolean spread,
    Calibration calibration,
    int windows,
    int windowTokens,
    int refineSteps,
    LatentRotation rotation,
    long seed,
    Optional<TensorType> type) {
  /** Enough for statistics and for one of them to choose by. */
  public static final int DEFAULT_WINDOWS = 48;

  /** Tokens of a window. */
  public static final int DEFAULT_WINDOW_TOKENS = 512;

  /** Steps of fitting a layer: quality against time, see java/convert/README.md. */
  public static final int DEFAULT_REFINE_STEPS = 22;

  /** The same where the CPU multiplies bfloat16, which takes a fraction of the time. */
  public static final int DEFAULT_REFINE_STEPS_BFLOAT16 = 36;

  /** The default on this machine. */
  public static int defaultRefineSteps() {
    return FastestType.cpuHasBfloat16() ? DEFAULT_REFINE_STEPS_BFLOAT16 : DEFAULT_REFINE_STEPS;
  }

  public CalibratedRequest {
    Objects.requireNonNull(source, "source");
    Objects.requireNonNull(output, "output");
    Objects.requireNonNull(ropeDims, "ropeDims");
    Objects.requireNonNull(rank, "rank");
    Objects.requireNonNull(calibration, "calibration");
    Objects.requireNonNull(rotation, "rotation");
    Objects.requireNonNull(type, "type");
  }

  /** A request with the defaults and the bundled calibration text. */
  public CalibratedRequest(Path source, Path output, double reduction) {
    this(
        source,
        output,
        reduction,
        OptionalInt.empty(),
        OptionalInt.empty(),
        true,
        new Calibration.Bundled(),
        DEFAULT_WINDOWS,
        DEFAULT_WINDOW_TOKENS,
        defaultRefineSteps(),
        LatentRotation.HADAMARD,
        1,
        Optional.empty());
  }
}
