package io.github.mla4j.cli;

import io.github.mla4j.convert.Calibration;
import io.github.mla4j.convert.ConversionReport;
import io.github.mla4j.convert.ConvertRequest;
import io.github.mla4j.convert.Converter;
import io.github.mla4j.convert.RopeSelection;
import io.github.mla4j.convert.SvdMethod;
import io.github.mla4j.gguf.TensorType;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Optional;
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
      paramLabel = "mha2mla",
      description = "The recipe (default: mha2mla, arXiv 2502.14837).")
  private Method method = Method.MHA2MLA;

  @Option(
      names = "--rope",
      required = true,
      paramLabel = "high|low|uniform|2-norm",
      description = "Which rotary pairs of a head are kept; 2-norm needs a calibration.")
  private RopeSelection rope;

  @Option(
      names = "--rope-dims",
      required = true,
      paramLabel = "R",
      description = "Rotary dims kept per head, an even number.")
  private int ropeDims;

  @Option(
      names = "--svd",
      required = true,
      paramLabel = "joint|split|only_key|only_value|none",
      description = "How the rest of keys and values is factored.")
  private SvdMethod svd;

  @Option(
      names = "--rank",
      paramLabel = "D",
      description = "Latent dims per KV head; needed unless --svd none.")
  private Integer rank;

  @ArgGroup private CalibrationArguments calibration = new CalibrationArguments();

  @Option(
      names = "--type",
      paramLabel = "TYPE",
      description =
          "Weight type of the output: F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q4_K, Q6_K "
              + "(default: the source's, the factors in F16).")
  private TensorType type;

  static final class CalibrationArguments {
    @Option(
        names = "--calibration",
        paramLabel = "FILE",
        description = "UTF-8 text on which 2-norm measures the source.")
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
    ConvertRequest request = request();
    ConversionReport report =
        Converter.convert(request, new ProgressLines(spec.commandLine().getErr()));
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

  private ConvertRequest request() throws IOException {
    Optional<Calibration> measured = calibration.chosen();
    if (rope == RopeSelection.TWO_NORM && measured.isEmpty()) {
      throw wrong("--rope 2-norm needs --calibration or --calibration-ids");
    }
    if (svd != SvdMethod.NONE && rank == null) {
      throw wrong("--svd " + svd + " needs --rank");
    }
    if (ropeDims < 0 || ropeDims % 2 != 0) {
      throw wrong("--rope-dims is " + ropeDims + ", expected an even number of at least 0");
    }
    if (rank != null && rank < 1) {
      throw wrong("--rank is " + rank + ", expected at least 1");
    }
    if (Files.exists(output) && Files.exists(source) && Files.isSameFile(source, output)) {
      throw wrong("the output would replace the source, " + source);
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

  private ParameterException wrong(String message) {
    return new ParameterException(spec.commandLine(), message);
  }
}
