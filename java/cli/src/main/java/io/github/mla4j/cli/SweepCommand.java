package io.github.mla4j.cli;

import io.github.mla4j.CacheOptions;
import io.github.mla4j.CancelledException;
import io.github.mla4j.Mla;
import io.github.mla4j.eval.Machine;
import io.github.mla4j.eval.sweep.CacheList;
import io.github.mla4j.eval.sweep.Sweep;
import io.github.mla4j.eval.sweep.SweepFile;
import io.github.mla4j.eval.sweep.SweepModel;
import io.github.mla4j.eval.sweep.SweepReuse;
import io.github.mla4j.eval.sweep.SweepSettings;
import io.github.mla4j.eval.sweep.TextHash;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import picocli.CommandLine.Command;
import picocli.CommandLine.ExitCode;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code mla sweep}: models and cache types side by side. */
@Command(
    name = "sweep",
    description = {
      "Measure models with several cache types, side by side: bytes per token, perplexity, KL "
          + "divergence and top-1 agreement, speed by depth, memory. DIR gets sweep.json, sweep.csv "
          + "and sweep.html, a page with plots; the best quality for the bytes is marked.",
      "",
      "Results are kept pair by pair: the same command goes on where it was stopped. What was "
          + "measured with another text, --ctx, --limit or teacher, or of a model file that has "
          + "changed since (size or time), is measured anew, speed also after a change of machine or "
          + "--threads; the results before it are then left in sweep.previous.json."
    },
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    sortOptions = false,
    footer = {"", "Ctrl-C stops it; the exit status is then 130."})
final class SweepCommand implements Callable<Integer> {
  private static final int USUAL_CONTEXT = 1024;

  @Spec private CommandSpec spec;

  @Parameters(
      arity = "1..*",
      paramLabel = "MODEL",
      description =
          "GGUF files or Hugging Face folders: first the source, then conversions of it. Bytes are "
              + "told beside those of the source with f16.")
  private List<Path> files = new ArrayList<>();

  @Option(
      names = "--cache",
      paramLabel = "LIST",
      description = {
        "Cache types, as for run (default: f16,int8,int4,int2). Entries with options of their own "
            + "are parted by semicolons, or the option is given again:",
        "--cache 'f16,int8;latent=int4,rope=int8,residual=0'."
      })
  private List<String> cacheTexts = List.of("f16,int8,int4,int2");

  @Option(
      names = "--data",
      required = true,
      paramLabel = "FILE",
      description = "UTF-8 text to measure on.")
  private Path data;

  @Option(
      names = "--depths",
      split = ",",
      paramLabel = "N",
      description =
          "Tokens in the cache when speed is measured (default: 0,2048,8192). Those that a model's "
              + "context has no room for are left out.")
  private List<Integer> depths = List.of(0, 2048, 8192);

  @Option(
      names = "--out",
      required = true,
      paramLabel = "DIR",
      description = "The folder of the results, made where it is not there.")
  private Path folder;

  @Option(
      names = "--teacher",
      paramLabel = "MODEL",
      description =
          "What divergence and agreement are measured against, with an f16 cache (default: the "
              + "first MODEL).")
  private Path teacher;

  @Option(
      names = "--ctx",
      paramLabel = "N",
      description =
          "Tokens of a window, for quality and for bytes per token (default: 1024, or the least of "
              + "the models' contexts if that is less).")
  private Integer context;

  @Option(
      names = "--limit",
      paramLabel = "N",
      description = "Measure quality on the first N windows only (default: all).")
  private Integer limit;

  @Option(
      names = "--threads",
      paramLabel = "T",
      description = "Threads that compute (default: one per core).")
  private Integer threads;

  @Mixin private DeviceArguments device;

  @Option(
      names = "--bytes-per-token",
      paramLabel = "N",
      description =
          "Tell the choice with the lowest perplexity that takes no more; the exit status is 1 where "
              + "none does.")
  private Double bytesPerToken;

  @Option(names = "--json", description = "Print sweep.json's object instead of a table.")
  private boolean json;

  @Override
  public Integer call() throws IOException {
    Map<String, CacheOptions> caches = caches();
    List<Integer> sorted = checkedDepths();
    OptionValues.requireAtLeast(spec, "--ctx", context, 2);
    OptionValues.requireAtLeast(spec, "--limit", limit, 1);
    OptionValues.requireAtLeast(spec, "--threads", threads, 1);
    if (bytesPerToken != null && !(bytesPerToken > 0)) {
      throw wrong("--bytes-per-token is %s, expected more than 0".formatted(bytesPerToken));
    }
    String text = PromptArguments.readText(data);
    SweepFolder results = SweepFolder.open(folder);
    Optional<Sweep> earlier = results.read();
    SweepModels models = SweepModels.look(spec, files, Optional.ofNullable(teacher), earlier);
    SweepSettings settings =
        new SweepSettings(
            data.toString(),
            TextHash.sha256(text),
            context(models),
            limit == null ? 0 : limit,
            models.teacher().file(),
            List.copyOf(caches.keySet()),
            sorted,
            threads == null ? Mla.systemInfo().threads() : threads);
    Machine machine = Machine.here(Version.text(), device.device());
    SweepReuse reuse =
        earlier
            .map(then -> SweepReuse.of(then, settings, machine, models.all()))
            .orElseGet(() -> new SweepReuse(List.of(), List.of(), false));
    tell(models.all(), sorted, reuse);
    SweepRun run =
        new SweepRun(
            spec.commandLine().getErr(),
            words(),
            settings,
            machine,
            device.device(),
            models,
            caches,
            reuse);
    if (reuse.dropsSome()) {
      results.setAside();
    }
    Sweep sweep;
    try (Interrupts interrupts = Interrupts.stopping(run::stop)) {
      interrupts.arm();
      sweep = run.measure(text, earlier, results::write);
    } catch (CancelledException e) {
      err(
          "stopped; the finished pairs are in %s, and the same command goes on from there"
              .formatted(results.json()));
      return Interrupts.EXIT_STATUS;
    }
    return report(sweep, results);
  }

  private int report(Sweep sweep, SweepFolder results) throws IOException {
    PrintWriter out = spec.commandLine().getOut();
    SweepReport report = new SweepReport(sweep);
    if (json) {
      out.println(
          bytesPerToken == null
              ? SweepFile.jsonLine(sweep)
              : SweepFile.jsonLineWithBest(sweep, bytesPerToken));
    } else {
      report.printTable(out);
      out.printf("%nmla: %s, %s, %s%n", results.json(), results.csv(), results.html());
    }
    if (bytesPerToken == null) {
      return ExitCode.OK;
    }
    Optional<String> best = report.best(bytesPerToken);
    if (best.isEmpty()) {
      out.flush();
      err(report.noneFits(bytesPerToken));
      return ExitCode.SOFTWARE;
    }
    if (!json) {
      out.println(best.get());
    }
    return ExitCode.OK;
  }

  /** The command as it can be typed again. */
  private String words() {
    return spec.root().commandLine().getParseResult().originalArgs().stream()
        .map(word -> word.matches("[\\w./:=,+-]+") ? word : "'" + word.replace("'", "'\\''") + "'")
        .collect(Collectors.joining(" ", "mla ", ""));
  }

  private Map<String, CacheOptions> caches() {
    try {
      return CacheList.parse(cacheTexts);
    } catch (IllegalArgumentException e) {
      throw wrong("--cache '%s': %s".formatted(String.join(";", cacheTexts), e.getMessage()));
    }
  }

  private List<Integer> checkedDepths() {
    for (int depth : depths) {
      if (depth < 0) {
        throw wrong("--depths has %d, expected at least 0".formatted(depth));
      }
    }
    return depths.stream().distinct().sorted().toList();
  }

  private int context(SweepModels models) {
    SweepModel least = models.leastContext();
    if (context != null && context > least.contextLength()) {
      throw wrong(
          "--ctx is %d, expected at most %d, the context of %s"
              .formatted(context, least.contextLength(), least.file().path()));
    }
    return context == null ? Math.min(USUAL_CONTEXT, least.contextLength()) : context;
  }

  private void tell(List<SweepModel> models, List<Integer> sorted, SweepReuse reuse) {
    reuse.notes().forEach(this::err);
    models.forEach(model -> model.shallowNote(sorted).ifPresent(note -> err(note + ": left out")));
  }

  private ParameterException wrong(String message) {
    return new ParameterException(spec.commandLine(), message);
  }

  private void err(String line) {
    spec.commandLine().getErr().println("mla: " + line);
    spec.commandLine().getErr().flush();
  }
}
