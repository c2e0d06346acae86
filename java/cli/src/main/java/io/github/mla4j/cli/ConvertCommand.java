package io.github.mla4j.cli;

import io.github.mla4j.convert.CalibratedRequest;
import io.github.mla4j.convert.Calibration;
import io.github.mla4j.convert.ConversionReport;
import io.github.mla4j.convert.ConvertRequest;
import io.github.mla4j.convert.Converter;
import io.github.mla4j.convert.LatentRotation;
import io.github.mla4j.convert.RopeSelection;
import io.github.mla4j.convert.SvdMethod;
import io.github.mla4j.gguf.TensorType;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.concurrent.Callable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code mla convert}: an MHA/GQA model to latent attention. */
@Command(
    name = "convert",
    description = "Convert a model to latent attention and write it as GGUF.",
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    sortOptions = false)
final class ConvertCommand implements Callable<Integer> {
  /** The recipes; --method names one. */
  enum Method {
    CALIBRATED,
    MHA2MLA
  }

  @Spec private CommandSpec spec;

  @Parameters(
      index = "0",
      paramLabel = "SOURCE",
      description = "A GGUF file, or a Hugging Face folder (config.json and safetensors).")
  private Path source;

  @Parameters(index = "1", paramLabel = "OUT.gguf", description = "The file to write.")
  private Path output;

  @Option(
      names = "--method",
      paramLabel = "calibrated|mha2mla",
      description =
          "The recipe: calibrated measures the source on a text (default); mha2mla is the paper's "
              + "(arXiv 2502.14837).")
  private Method method = Method.CALIBRATED;

  @Option(
      names = "--reduction",
      paramLabel = "P",
      description =
          "calibrated: percentage of the source's cached elements to remove, rotary part included.")
  private Double reduction;

  @Option(
      names = "--rope",
      paramLabel = "high|low|uniform|2-norm",
      description = "mha2mla: which rotary pairs of a head are kept; 2-norm needs a calibration.")
  private RopeSelection rope;

  @Option(
      names = "--rope-dims",
      paramLabel = "R",
      description =
          "Rotary dims, an even number: kept per head by mha2mla; by calibrated all heads share "
              + "them (default there: chosen layer by layer).")
  private Integer ropeDims;

  @Option(
      names = "--svd",
      paramLabel = "joint|split|only_key|only_value|none",
      description = "mha2mla: how the rest of keys and values is factored.")
  private SvdMethod svd;

  @Option(
      names = "--rank",
      paramLabel = "D",
      description =
          "Latent dims: per KV head for mha2mla, needed unless --svd none; of a layer for "
              + "calibrated (default there: what --reduction leaves).")
  private Integer rank;

  @Option(
      names = "--windows",
      paramLabel = "N",
      description =
          "calibrated: windows of the calibration text, at most (default: "
              + CalibratedRequest.DEFAULT_WINDOWS
              + ").")
  private Integer windows;

  @Option(
      names = "--ctx",
      paramLabel = "N",
      description =
          "calibrated: tokens of a window, at most (default: "
              + CalibratedRequest.DEFAULT_WINDOW_TOKENS
              + ").")
  private Integer windowTokens;

  @Option(
      names = "--even",
      description =
          "calibrated: every layer caches as much (default: layers that need more cache more).")
  private boolean even;

  @Option(
      names = "--refine",
      paramLabel = "N",
      description =
          "calibrated: steps of fitting each layer, and half as many again of fitting neighbours "
              + "together to their drifted input; 0: none (default: "
              + CalibratedRequest.DEFAULT_REFINE_STEPS
              + ", where the CPU multiplies bfloat16 "
              + CalibratedRequest.DEFAULT_REFINE_STEPS_BFLOAT16
              + ").")
  private Integer refine;

  @Option(
      names = "--latent-rotation",
      paramLabel = "hadamard|learned|none",
      description =
          "calibrated: the coordinates in which latents are cached, for caches of a few bits: "
              + "principal axes turned so that all elements of a group vary alike (default), or as "
              + "learned from the text, or as they come.")
  private LatentRotation rotation;

  @Option(
      names = "--seed",
      paramLabel = "N",
      description = "calibrated: of what is sampled (default: 1).")
  private Long seed;

  @ArgGroup private CalibrationArguments calibration = new CalibrationArguments();

  @Option(
      names = "--type",
      paramLabel = "TYPE",
      description =
          "Weight type of the output: ${COMPLETION-CANDIDATES} "
              + "(default: the source's, the factors in F16).")
  private TensorType type;

  static final class CalibrationArguments {
    @Option(
        names = "--calibration",
        paramLabel = "FILE",
        description =
            "UTF-8 text to measure the source on (calibrated has one of its own; 2-norm needs one).")
    private Path text;

    @Option(
        names = "--calibration-ids",
        paramLabel = "IDS.txt",
        description = "The same as token ids, a sequence a line.")
    private Path ids;

    private Optional<Calibration> chosen() {
      if (text != null) {
        return Optional.of(new Calibration.Text(text));
      }
      return Optional.ofNullable(ids).map(Calibration.Ids::new);
    }
  }

  @Override
  public Integer call() throws IOException {
    if (Files.exists(output) && Files.exists(source) && Files.isSameFile(source, output)) {
      throw wrong("the output would replace the source, " + source);
    }
    if (ropeDims != null && (ropeDims < 0 || ropeDims % 2 != 0)) {
      throw wrong("--rope-dims is " + ropeDims + ", expected an even number of at least 0");
    }
    if (rank != null && rank < 1) {
      throw wrong("--rank is " + rank + ", expected at least 1");
    }
    ProgressLines progress = new ProgressLines(spec.commandLine().getErr());
    ConversionReport report =
        method == Method.CALIBRATED
            ? Converter.convert(calibratedRequest(), progress)
            : Converter.convert(request(), progress);
    PrintWriter err = spec.commandLine().getErr();
    report.notes().forEach(note -> err.println("mla: " + note));
    spec.commandLine()
        .getOut()
        .printf(
            Locale.ROOT,
            "%s: %,d bytes, %d layers, %,d elements cached per token instead of %,d (%.1f %%), %.1f s%n",
            report.output(),
            report.outputBytes(),
            report.layers(),
            report.convertedElements(),
            report.sourceElements(),
            100 * report.cacheFraction(),
            report.elapsed().toMillis() / 1e3);
    return 0;
  }

  private CalibratedRequest calibratedRequest() {
    refuse(rope, "--rope", Method.MHA2MLA);
    refuse(svd, "--svd", Method.MHA2MLA);
    boolean sized = ropeDims != null && rank != null;
    if (reduction == null && !sized) {
      throw wrong("--method calibrated needs --reduction, or both --rope-dims and --rank");
    }
    if (reduction != null && sized) {
      throw wrong("--reduction is told by --rope-dims and --rank: give one of them at most");
    }
    if (reduction != null && !(reduction >= 0 && reduction < 100)) {
      throw wrong("--reduction is " + reduction + ", expected a percentage from 0 to below 100");
    }
    if (refine != null && refine < 0) {
      throw wrong("--refine is " + refine + ", expected at least 0");
    }
    if (windows != null && windows < 1) {
      throw wrong("--windows is " + windows + ", expected at least 1");
    }
    if (windowTokens != null && windowTokens < 2) {
      throw wrong("--ctx is " + windowTokens + ", expected at least 2");
    }
    return new CalibratedRequest(
        source,
        output,
        reduction == null ? 0 : reduction / 100,
        given(ropeDims),
        given(rank),
        !even,
        calibration.chosen().orElseGet(Calibration.Bundled::new),
        given(windows).orElse(CalibratedRequest.DEFAULT_WINDOWS),
        given(windowTokens).orElse(CalibratedRequest.DEFAULT_WINDOW_TOKENS),
        given(refine).orElseGet(CalibratedRequest::defaultRefineSteps),
        rotation == null ? LatentRotation.HADAMARD : rotation,
        seed == null ? 1 : seed,
        Optional.ofNullable(type));
  }

  private static OptionalInt given(Integer value) {
    return value == null ? OptionalInt.empty() : OptionalInt.of(value);
  }

  private ConvertRequest request() {
    refuse(reduction, "--reduction", Method.CALIBRATED);
    refuse(windows, "--windows", Method.CALIBRATED);
    refuse(windowTokens, "--ctx", Method.CALIBRATED);
    refuse(refine, "--refine", Method.CALIBRATED);
    refuse(seed, "--seed", Method.CALIBRATED);
    refuse(rotation, "--latent-rotation", Method.CALIBRATED);
    refuse(even ? true : null, "--even", Method.CALIBRATED);
    Optional<Calibration> measured = calibration.chosen();
    if (rope == null || svd == null || ropeDims == null) {
      throw wrong("--method mha2mla needs --rope, --rope-dims and --svd");
    }
    if (rope == RopeSelection.TWO_NORM && measured.isEmpty()) {
      throw wrong("--rope 2-norm needs --calibration or --calibration-ids");
    }
    if (svd != SvdMethod.NONE && rank == null) {
      throw wrong("--svd " + svd + " needs --rank");
    }
    return new ConvertRequest(
        source,
        output,
        rope,
        ropeDims,
        svd,
        rank == null ? 0 : rank,
        measured,
        Optional.ofNullable(type));
  }

  private void refuse(Object value, String option, Method owner) {
    if (value != null) {
      throw wrong(
          "%s belongs to --method %s, not to %s"
              .formatted(
                  option,
                  owner.name().toLowerCase(Locale.ROOT),
                  method.name().toLowerCase(Locale.ROOT)));
    }
  }

  private ParameterException wrong(String message) {
    return new ParameterException(spec.commandLine(), message);
  }
}
