package io.github.mla4j.cli;

import io.github.mla4j.CacheOptions;
import io.github.mla4j.CancelledException;
import io.github.mla4j.Mla;
import io.github.mla4j.Model;
import io.github.mla4j.Roofline;
import io.github.mla4j.eval.Machine;
import io.github.mla4j.eval.bench.Bench;
import io.github.mla4j.eval.bench.BenchRow;
import io.github.mla4j.eval.bench.BenchSettings;
import io.github.mla4j.eval.sweep.CacheList;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.ExitCode;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code mla bench}: tokens per second by depth, beside what the machine could give. */
@Command(
    name = "bench",
    description = {
      "Measure tokens per second as llama-bench does: prompts (pp) and single tokens (tg) after so "
          + "many others (@ d), with several cache types; and memory.",
      "",
      "First the machine is measured with the same threads: how fast it reads memory, and multiplies "
          + "and adds floats and 8-bit integers (16-bit, where it has no instructions for those). 'of "
          + "roofline' is the least time that a test needs by that, as a part of the time it took: "
          + "reading every weight that is multiplied with once for a token, or for up to 256 of a "
          + "prompt, and what attention reads of the cache ('memory'); or all multiplications with "
          + "both ('compute'), whichever is longer. It can be more than 100 %% where weights stay in "
          + "the processor's caches."
    },
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    sortOptions = false,
    footer = {"", "Ctrl-C stops it; the rows measured so far stay, the exit status is 130."})
final class BenchCommand implements Callable<Integer> {
  private static final int MOST_SEQUENCES = 1024; // of a batch

  @Spec private CommandSpec spec;

  @Parameters(
      arity = "1..*",
      paramLabel = "MODEL",
      description = "GGUF files or Hugging Face folders.")
  private List<Path> files = new ArrayList<>();

  @Option(
      names = {"-p", "--n-prompt"},
      split = ",",
      paramLabel = "N",
      description = "Tokens of a prompt, evaluated at once (default: 512); 0: no such test.")
  private List<Integer> prompts = List.of(512);

  @Option(
      names = {"-n", "--n-gen"},
      split = ",",
      paramLabel = "N",
      description =
          "Tokens evaluated one at a time, each waiting for its logits (default: 64); 0: no such "
              + "test.")
  private List<Integer> gens = List.of(64);

  @Option(
      names = {"-d", "--n-depth"},
      split = ",",
      paramLabel = "N",
      description =
          "Tokens in the cache beforehand (default: 0,2048,4096,7680). Tests that a model's context "
              + "has no room for are left out.")
  private List<Integer> depths = List.of(0, 2048, 4096, 7680);

  @Option(
      names = "--cache",
      paramLabel = "LIST",
      description = {
        "Cache types, as for run (default: f16). Entries with options of their own are parted by "
            + "semicolons, or the option is given again:",
        "--cache 'f16,int8;latent=int4,rope=int8,residual=0'."
      })
  private List<String> cacheTexts = List.of("f16");

  @Option(
      names = "--batch",
      split = ",",
      paramLabel = "N",
      description =
          "Sequences that go on together in tests of single tokens (default: 1): a step reads the "
              + "weights once for all; t/s is of all together. Each has a cache of its own. Those "
              + "of more than one sample their tokens, greedily.")
  private List<Integer> batches = List.of(1);

  @Option(
      names = {"-t", "--threads"},
      paramLabel = "T",
      description = "Threads that compute (default: one per core).")
  private Integer threads;

  @Mixin private DeviceArguments device;

  @Option(
      names = {"-r", "--repetitions"},
      paramLabel = "N",
      description = "Times that every test is run (default: ${DEFAULT-VALUE}).")
  private int repetitions = 3;

  @Option(
      names = "--profile",
      description =
          "Run every test once more and tell its time by operation; single tokens are then "
              + "sampled.")
  private boolean profiled;

  @Option(
      names = "--json",
      description =
          "Print an array of rows instead: prompt, gen, depth, batch, cache, tokens_per_second, "
              + "stddev, memory, and the machine.")
  private boolean json;

  @Override
  public Integer call() throws IOException {
    Map<String, CacheOptions> caches = caches();
    BenchSettings settings = settings();
    List<BenchModel> models = BenchModel.look(files, device.device());
    requireSomeCase(models, settings);
    for (BenchModel model : models) {
      settings
          .leftOut(model.info().contextLength())
          .ifPresent(note -> err("%s has %s: left out".formatted(model.label(), note)));
    }
    Roofline roofline = Mla.measureRoofline(settings.threads());
    BenchReport report = report(roofline, models, settings);
    Bench bench = new Bench(settings, listener(report, settings, models, caches.size()));
    int status = ExitCode.OK;
    try (Interrupts interrupts = Interrupts.stopping(bench::stop)) {
      interrupts.arm();
      for (BenchModel model : models) {
        measure(bench, model, caches);
      }
    } catch (CancelledException e) {
      err("stopped");
      status = Interrupts.EXIT_STATUS;
    }
    report.finish();
    return status;
  }

  private void measure(Bench bench, BenchModel model, Map<String, CacheOptions> caches)
      throws IOException {
    try (Model opened = Models.open(model.file(), device.device())) {
      for (CacheOptions cache : caches.values()) {
        bench.measure(model.label(), opened, cache);
      }
    }
  }

  private Bench.Listener listener(
      BenchReport report, BenchSettings settings, List<BenchModel> models, int caches) {
    long work =
        models.stream()
            .mapToLong(model -> Bench.work(settings, model.info().contextLength()))
            .sum();
    EvalProgress progress = EvalProgress.inPerCent(spec.commandLine().getErr(), caches * work);
    return new Bench.Listener() {
      @Override
      public void done(long part, String of) {
        progress.add(part, "%s", of);
      }

      @Override
      public void row(BenchRow row) {
        report.row(row);
      }
    };
  }

  private BenchReport report(Roofline roofline, List<BenchModel> models, BenchSettings settings) {
    PrintWriter out = spec.commandLine().getOut();
    Machine machine = Machine.here(Version.text(), device.device());
    return json
        ? new BenchJson(out, machine, roofline)
        : new BenchTable(
            out,
            machine,
            roofline,
            models.stream().map(BenchModel::label).toList(),
            settings.cases().stream().anyMatch(test -> test.batch() > 1));
  }

  private BenchSettings settings() {
    requireAtLeast("-p", prompts, 0);
    requireAtLeast("-n", gens, 0);
    requireAtLeast("-d", depths, 0);
    for (int batch : batches) {
      if (batch < 1 || batch > MOST_SEQUENCES) {
        throw wrong("--batch is %d, expected 1 to %d".formatted(batch, MOST_SEQUENCES));
      }
    }
    requireAtLeast("-r", List.of(repetitions), 1);
    if (threads != null) {
      requireAtLeast("--threads", List.of(threads), 1);
    }
    return new BenchSettings(
        prompts,
        gens,
        depths,
        batches,
        repetitions,
        threads == null ? Mla.systemInfo().threads() : threads,
        profiled);
  }

  private void requireSomeCase(List<BenchModel> models, BenchSettings settings) {
    if (settings.cases().isEmpty()) {
      throw wrong("-p and -n are both 0, expected one of them to be more");
    }
    BenchModel roomiest =
        models.stream()
            .max((a, b) -> Integer.compare(a.info().contextLength(), b.info().contextLength()))
            .orElseThrow();
    int context = roomiest.info().contextLength();
    if (settings.cases(context).isEmpty()) {
      throw wrong(
          "nothing is left to measure: %s has %s"
              .formatted(roomiest.label(), settings.leftOut(context).orElseThrow()));
    }
  }

  private Map<String, CacheOptions> caches() {
    try {
      return CacheList.parse(cacheTexts);
    } catch (IllegalArgumentException e) {
      throw wrong("--cache '%s': %s".formatted(String.join(";", cacheTexts), e.getMessage()));
    }
  }

  private void requireAtLeast(String option, List<Integer> values, int least) {
    values.forEach(value -> OptionValues.requireAtLeast(spec, option, value, least));
  }

  private ParameterException wrong(String message) {
    return new ParameterException(spec.commandLine(), message);
  }

  private void err(String line) {
    spec.commandLine().getErr().println("mla: " + line);
    spec.commandLine().getErr().flush();
  }
}
