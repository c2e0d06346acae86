package io.github.mla4j.cli;

import io.github.mla4j.CacheOptions;
import io.github.mla4j.CacheType;
import io.github.mla4j.GenerateOptions;
import io.github.mla4j.Model;
import io.github.mla4j.ModelInfo;
import io.github.mla4j.Session;
import io.github.mla4j.TokenStream;
import io.github.mla4j.convert.CalibratedRequest;
import io.github.mla4j.convert.Calibration;
import io.github.mla4j.convert.ConversionReport;
import io.github.mla4j.convert.Converter;
import io.github.mla4j.convert.LatentRotation;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code mla demo}: what converting a model does to its cache, its quality and its speed. */
@Command(
    name = "demo",
    description = {
      "Convert a model to latent attention, and show for both what the cache "
          + "costs, how well they predict a text, and how fast they are; then let them write.",
      "Nothing from outside is needed: a small model comes with mla."
    },
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    sortOptions = false)
final class DemoCommand implements Callable<Integer> {
  private static final List<CacheType> CACHES =
      List.of(CacheType.F16, CacheType.INT8, CacheType.INT4);
  private static final int WRITTEN_TOKENS = 60;

  /** A perplexity so many times the source's is worth a word of explanation. */
  private static final double COLLAPSE = 3;

  @Spec private CommandSpec spec;

  @Option(
      names = "--model",
      paramLabel = "FILE",
      description = "Another GGUF file with a vocabulary (default: the embedded model).")
  private Path file;

  @Option(
      names = "--reduction",
      paramLabel = "P",
      description = "Percentage of cached elements to remove (default: 50).")
  private double reduction = 50;

  @Mixin private DeviceArguments device;

  @Override
  public Integer call() throws IOException {
    try (DemoFolder folder = DemoFolder.create()) {
      Path sourceFile = file == null ? folder.embeddedModel() : file;
      try (Model source = Model.load(sourceFile, device.device())) {
        say("source     %s", describe(source.info()));
        DemoBudget budget = DemoBudget.of(source.info());
        ConversionReport report = convert(sourceFile, folder, budget);
        try (Model converted = Model.load(report.output(), device.device())) {
          say(
              "converted  in %.1f s, without training: %,d of %,d elements cached a token are left",
              report.elapsed().toMillis() / 1e3,
              report.convertedElements(),
              report.sourceElements());
          compare(source, converted, budget);
          write("The source, f16 cache", source, CacheType.F16);
          write("Converted, int4 cache", converted, CacheType.INT4);
        }
      }
    }
    return 0;
  }

  private ConversionReport convert(Path source, DemoFolder folder, DemoBudget budget)
      throws IOException {
    if (!(reduction >= 0 && reduction < 100)) {
      throw new ParameterException(
          spec.commandLine(),
          "--reduction is " + reduction + ", expected a percentage from 0 to below 100");
    }
    CalibratedRequest request =
        new CalibratedRequest(
            source,
            folder.converted(),
            reduction / 100,
            OptionalInt.empty(),
            OptionalInt.empty(),
            true,
            new Calibration.Text(folder.calibration(budget.calibrationCharacters())),
            CalibratedRequest.DEFAULT_WINDOWS,
            budget.windowTokens(),
            budget.refineSteps(),
            LatentRotation.HADAMARD,
            1,
            Optional.empty());
    return Converter.convert(request, new ProgressLines(spec.commandLine().getErr()));
  }

  private void compare(Model source, Model converted, DemoBudget budget) throws IOException {
    DemoPassage passage = DemoPassage.of(source, budget);
    say(
        "passage    %,d tokens of War and Peace, held out from %s",
        passage.length(), file == null ? "training and calibration" : "calibration");
    TextTable table =
        new TextTable("model, cache", "bytes per token", "of the source", "perplexity", "tokens/s");
    double whole = source.cacheBytesPerToken(CacheOptions.of(CacheType.F16));
    double best = Double.MAX_VALUE;
    double worst = 0;
    for (boolean latent : new boolean[] {false, true}) {
      for (CacheType cache : CACHES) {
        Model model = latent ? converted : source;
        DemoPassage.Measured measured = passage.measure(model, cache);
        double bytes = model.cacheBytesPerToken(CacheOptions.of(cache));
        best = Math.min(best, measured.perplexity().value());
        worst = Math.max(worst, measured.perplexity().value());
        table.row(
            (latent ? "converted, " : "source, ") + cache.label(),
            format("%,.0f", bytes),
            format("%.0f %%", 100 * bytes / whole),
            format(
                "%.2f ± %.2f",
                measured.perplexity().value(), measured.perplexity().standardError()),
            format("%,.0f", measured.throughput().decodeTokensPerSecond()));
      }
    }
    out().println();
    table.print(out());
    if (worst > COLLAPSE * best) {
      say(
          "%nThe calibration of this demo is short, and at this size it loses much. 'mla convert' "
              + "takes longer and keeps more.");
    }
  }

  private void write(String title, Model model, CacheType cache) throws IOException {
    String prompt = DemoFolder.passageBeginning();
    say("%n%s, temperature 0.7, seed 1:", title);
    out().print(prompt);
    try (Session session = model.newSession(options -> options.cache(cache));
        TokenStream stream = session.generate(prompt, DemoCommand::writing)) {
      StreamText.print(stream, out());
    }
  }

  private static void writing(GenerateOptions options) {
    options.maxTokens(WRITTEN_TOKENS).temperature(0.7f).topK(40).repetitionPenalty(1.1f).seed(1);
  }

  private static String describe(ModelInfo model) {
    return format(
        "%s: %,d parameters, %d layers, %d query heads and %d key-value heads of %d",
        model.name().isEmpty() ? model.architecture() : model.name(),
        model.parameters(),
        model.layers(),
        model.heads(),
        model.kvHeads(),
        model.headLength());
  }

  private void say(String format, Object... values) {
    out().printf(Locale.ROOT, format + "%n", values);
    out().flush();
  }

  private static String format(String format, Object... values) {
    return String.format(Locale.ROOT, format, values);
  }

  private PrintWriter out() {
    return spec.commandLine().getOut();
  }
}
