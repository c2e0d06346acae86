package io.github.mla4j.convert;

import io.github.mla4j.CancelledException;
import io.github.mla4j.convert.calibrated.CalibratedModel;
import io.github.mla4j.convert.calibrated.CalibratedSettings;
import io.github.mla4j.convert.calibration.LayerwiseForward;
import io.github.mla4j.convert.calibration.PairStrengths;
import io.github.mla4j.convert.output.LatentModelWriter;
import io.github.mla4j.convert.output.OutputFile;
import io.github.mla4j.convert.output.OutputTypes;
import io.github.mla4j.convert.output.PlainModelWriter;
import io.github.mla4j.convert.output.Provenance;
import io.github.mla4j.convert.output.Sha256;
import io.github.mla4j.convert.recipe.KeptPairs;
import io.github.mla4j.convert.recipe.LatentModel;
import io.github.mla4j.convert.recipe.Mha2Mla;
import io.github.mla4j.convert.recipe.Mha2MlaSettings;
import io.github.mla4j.convert.recipe.PaperModel;
import io.github.mla4j.convert.recipe.RecipeKeys;
import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.gguf.TensorType;
import java.io.IOException;
import java.nio.channels.ClosedByInterruptException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.function.IntFunction;

/**
 * Converts models to latent attention. One layer's weights are in memory at a time, so models much
 * larger than the heap convert. The output appears, complete, at the end: a failure, an interrupt
 * of the thread or the end of the process leaves the old file, or none. Keeps no state: any thread.
 */
public final class Converter {
  // The strengths of rotary pairs, means over tokens, settle soon.
  private static final int STRENGTH_WINDOWS = 8;

  /** Of a calibrated conversion's time, what spreading the budget was seen to take. */
  private static final double MEASURING_SHARE = 0.15;

  private final OpenedSource source;
  private final Path sourcePath;
  private final Path output;
  private final OutputTypes types;
  private final ProgressTracker progress;

  private Converter(
      OpenedSource source,
      Path sourcePath,
      Path output,
      Optional<TensorType> type,
      ProgressTracker progress) {
    this.source = source;
    this.sourcePath = sourcePath;
    this.output = output;
    this.types = new OutputTypes(type);
    this.progress = progress;
  }

  /**
   * Converts by recipe {@code mha2mla}. A checkpoint that the paper's code has converted is taken
   * as it is; the request must then say what the checkpoint says.
   *
   * @throws IllegalArgumentException if the request does not fit the source; the message names the
   *     value and what is possible
   * @throws io.github.mla4j.MlaException if the source is damaged or of a kind that cannot be
   *     converted
   * @throws CancelledException if the thread was interrupted
   * @throws IOException if a file cannot be read or written
   */
  public static ConversionReport convert(ConvertRequest request, ProgressListener listener)
      throws IOException {
    try (OpenedSource source = OpenedSource.open(request.source(), Optional.empty())) {
      Mha2MlaSettings settings =
          new Mha2MlaSettings(request.rope(), request.ropeDims(), request.svd(), request.rank());
      boolean measured = request.rope() == RopeSelection.TWO_NORM;
      double[] shares =
          source instanceof OpenedSource.Plain && measured
              ? new double[] {0.5, 0.5}
              : new double[] {1};
      Converter converter =
          new Converter(
              source,
              request.source(),
              request.output(),
              request.type(),
              new ProgressTracker(listener, source.config().blockCount(), shares));
      if (source instanceof OpenedSource.Plain plain) {
        settings.check(source.config());
        return converter.convertPlain(
            plain, settings, request.calibration().filter(text -> measured));
      }
      return converter.packPaper((OpenedSource.Paper) source, Optional.of(settings));
    } catch (ClosedByInterruptException e) {
      throw cancelled();
    }
  }

  /**
   * Converts by recipe {@code calibrated}.
   *
   * @throws IllegalArgumentException if the request does not fit the source; the message names the
   *     value and what is possible
   * @throws io.github.mla4j.MlaException if the source is damaged or of a kind that cannot be
   *     converted
   * @throws CancelledException if the thread was interrupted
   * @throws IOException if a file cannot be read or written
   */
  public static ConversionReport convert(CalibratedRequest request, ProgressListener listener)
      throws IOException {
    if (request.windows() < 1 || request.windowTokens() < 2) {
      throw new IllegalArgumentException(
          "calibration on %d windows of %d tokens: expected at least 1 of at least 2"
              .formatted(request.windows(), request.windowTokens()));
    }
    try (OpenedSource source = OpenedSource.open(request.source(), Optional.empty())) {
      if (!(source instanceof OpenedSource.Plain plain)) {
        throw new IllegalArgumentException(request.source() + ": is converted already");
      }
      CalibratedSettings settings =
          new CalibratedSettings(
              request.reduction(),
              request.ropeDims(),
              request.rank(),
              request.spread(),
              request.refineSteps(),
              request.rotation(),
              request.seed());
      settings.check(source.config());
      double measuring = settings.spreads(source.config()) ? MEASURING_SHARE : 0;
      return new Converter(
              source,
              request.source(),
              request.output(),
              request.type(),
              new ProgressTracker(listener, source.config().blockCount(), measuring, 1 - measuring))
          .convertCalibrated(plain, request, settings);
    } catch (ClosedByInterruptException e) {
      throw cancelled();
    }
  }

  private ConversionReport convertCalibrated(
      OpenedSource.Plain plain, CalibratedRequest request, CalibratedSettings settings)
      throws IOException {
    int[][] windows =
        CalibrationTokens.read(
            request.calibration(),
            sourcePath,
            plain.config(),
            plain.metadata(),
            request.windows(),
            request.windowTokens());
    try (CalibratedModel model = new CalibratedModel(plain.model(), settings, windows)) {
      if (settings.spreads(plain.config())) {
        progress.begin("measuring");
        model.measure(this::layerDone);
      }
      return writeLatent(model, settings, Optional.of(request.calibration()));
    }
  }

  /**
   * Writes a model as GGUF without changing what it computes: a Hugging Face directory as
   * llama.cpp's architecture, a checkpoint of the paper's code in the converted form.
   *
   * @param type of the weights; empty keeps the type of each tensor
   * @param rankFile of a checkpoint with a 2-norm choice; empty: found by what its config says
   * @throws io.github.mla4j.MlaException if the source is damaged or of a kind that is not known
   * @throws CancelledException if the thread was interrupted
   * @throws IOException if a file cannot be read or written
   */
  public static ConversionReport repack(
      Path source,
      Path output,
      Optional<TensorType> type,
      Optional<Path> rankFile,
      ProgressListener listener)
      throws IOException {
    try (OpenedSource opened = OpenedSource.open(source, rankFile)) {
      Converter converter =
          new Converter(
              opened,
              source,
              output,
              type,
              new ProgressTracker(listener, opened.config().blockCount(), 1.0));
      return opened instanceof OpenedSource.Paper paper
          ? converter.packPaper(paper, Optional.empty())
          : converter.packPlain((OpenedSource.Plain) opened);
    } catch (ClosedByInterruptException e) {
      throw cancelled();
    }
  }

  /** Java closes a channel that is read when the thread is interrupted, and leaves it marked. */
  private static CancelledException cancelled() {
    Thread.interrupted();
    return new CancelledException("the conversion was cancelled");
  }

  private void layerDone(int count) {
    progress.layerDone(count);
    source.releasePages();
  }

  private ConversionReport convertPlain(
      OpenedSource.Plain plain, Mha2MlaSettings settings, Optional<Calibration> calibration)
      throws IOException {
    IntFunction<KeptPairs> kept = keptPairs(plain, settings, calibration);
    return writeLatent(new Mha2Mla(plain.model(), settings, kept), settings, calibration);
  }

  private IntFunction<KeptPairs> keptPairs(
      OpenedSource.Plain plain, Mha2MlaSettings settings, Optional<Calibration> calibration)
      throws IOException {
    ModelConfig config = plain.config();
    if (settings.rope() != RopeSelection.TWO_NORM) {
      KeptPairs same =
          KeptPairs.byFrequency(
              settings.rope(), config.headLength(), settings.ropeDims(), 0, config.kvHeadCount());
      return layer -> same;
    }
    Calibration text =
        calibration.orElseThrow(
            () ->
                new IllegalArgumentException(
                    "rope 2-norm needs a calibration text, or a file of token ids"));
    int[][] tokens =
        CalibrationTokens.read(
            text,
            sourcePath,
            config,
            plain.metadata(),
            STRENGTH_WINDOWS,
            CalibratedRequest.DEFAULT_WINDOW_TOKENS);
    PairStrengths strengths = new PairStrengths(config);
    progress.begin("measuring");
    new LayerwiseForward(plain.model()).run(tokens, strengths, this::layerDone);
    return layer ->
        KeptPairs.byRank(strengths.ranks(layer), config.headLength(), settings.ropeDims());
  }

  private ConversionReport packPaper(OpenedSource.Paper paper, Optional<Mha2MlaSettings> wanted)
      throws IOException {
    Mha2MlaSettings settings = PaperModel.settingsOf(paper.checkpoint());
    if (wanted.isPresent() && !wanted.get().equals(settings)) {
      throw new IllegalArgumentException(
          "%s: is converted already, with %s: cannot be converted with %s"
              .formatted(sourcePath, settings, wanted.get()));
    }
    return writeLatent(new PaperModel(paper.checkpoint()), settings, Optional.empty());
  }

  private ConversionReport writeLatent(
      LatentModel model, RecipeKeys recipe, Optional<Calibration> calibration) throws IOException {
    String hash = Sha256.of(source.weightFiles());
    Provenance provenance =
        new Provenance(
            recipe,
            sourcePath.toAbsolutePath().normalize().getFileName().toString(),
            hash,
            calibration.isPresent()
                ? Optional.of(CalibrationTokens.hash(calibration.get()))
                : Optional.empty(),
            version());
    try (OutputFile file = OutputFile.create(output, sourcePath)) {
      progress.begin("converting");
      LatentModelWriter writer = new LatentModelWriter(model, file.writer(), types);
      writer.write(source.metadata(), provenance, this::layerDone);
      file.writer().finish();
      return report(hash, writer.cachedElements());
    }
  }

  private ConversionReport packPlain(OpenedSource.Plain plain) throws IOException {
    String hash = Sha256.of(source.weightFiles());
    try (OutputFile file = OutputFile.create(output, sourcePath)) {
      progress.begin("writing");
      new PlainModelWriter(plain.model(), file.writer(), types)
          .write(source.metadata(), this::layerDone);
      file.writer().finish();
      return report(hash, LatentModelWriter.plainElements(source.config()));
    }
  }

  private ConversionReport report(String hash, long cachedElements) throws IOException {
    return new ConversionReport(
        output,
        Files.size(output),
        source.config().blockCount(),
        LatentModelWriter.plainElements(source.config()),
        cachedElements,
        hash,
        progress.elapsed(),
        types.notes());
  }

  static String version() {
    String version = Converter.class.getPackage().getImplementationVersion();
    return version == null ? "development" : version;
  }
}
