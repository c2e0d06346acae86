package io.github.mla4j.cli;

import io.github.mla4j.CacheOptions;
import io.github.mla4j.Model;
import io.github.mla4j.Session;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Locale;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** What all measures are told, and how they tell where they are. */
final class EvalArguments {
  private static final int USUAL_CONTEXT = 1024;
  private static final long INTERVAL_MILLIS = 3_000;

  @Spec(Spec.Target.MIXEE)
  private CommandSpec spec;

  @Parameters(paramLabel = "MODEL", description = "A GGUF file or a Hugging Face folder.")
  private Path file;

  @Option(
      names = "--data",
      required = true,
      paramLabel = "FILE",
      description = "What to measure on.")
  private Path data;

  @Option(
      names = "--ctx",
      paramLabel = "N",
      description = "Tokens of a window (default: 1024, or the model's context if that is less).")
  private Integer context;

  @Option(
      names = "--cache",
      paramLabel = "TYPE",
      description = "How the cache keeps numbers, as for run (default: f16).")
  private CacheOptions cache = CacheOptions.defaults();

  @Option(
      names = "--limit",
      paramLabel = "N",
      description = "Measure the first N windows or tasks only (default: all).")
  private Integer limit;

  @Option(
      names = "--threads",
      paramLabel = "T",
      description = "Threads that compute (default: one per core).")
  private Integer threads;

  @Option(names = "--json", description = "Print one JSON object.")
  private boolean json;

  private final Instant start = Instant.now();
  private Instant told = start;

  /** The model; the caller closes it. */
  Model openModel() throws IOException {
    requireAtLeast("--ctx", context, 2);
    requireAtLeast("--limit", limit, 1);
    requireAtLeast("--threads", threads, 1);
    return Models.open(file);
  }

  private void requireAtLeast(String option, Integer value, int least) {
    if (value != null && value < least) {
      throw new ParameterException(
          spec.commandLine(), option + " is " + value + ", expected at least " + least);
    }
  }

  /** Tokens of a window. */
  int context(Model model) {
    int most = model.info().contextLength();
    if (context != null && context > most) {
      throw new ParameterException(
          spec.commandLine(),
          "--ctx is %d, expected at most %d, the model's context".formatted(context, most));
    }
    return context == null ? Math.min(USUAL_CONTEXT, most) : context;
  }

  /** A session that holds a window; the caller closes it. */
  Session openSession(Model model) {
    return model.newSession(
        session -> {
          session.cache(cache).contextLength(context(model));
          if (threads != null) {
            session.threads(threads);
          }
        });
  }

  Path data() {
    return data;
  }

  CacheOptions cache() {
    return cache;
  }

  boolean json() {
    return json;
  }

  /** The lesser of {@code count} and --limit. */
  int limited(int count) {
    return limit == null ? count : Math.min(count, limit);
  }

  /** A line every few seconds, to standard error. */
  void tell(int done, int all, String soFar) {
    Instant now = Instant.now();
    if (Duration.between(told, now).toMillis() < INTERVAL_MILLIS || done == 0) {
      return;
    }
    told = now;
    long left = Duration.between(start, now).toSeconds() * (all - done) / done;
    PrintWriter err = spec.commandLine().getErr();
    err.printf(Locale.ROOT, "mla: %d/%d, %s, %d s left%n", done, all, soFar, Math.max(1, left));
    err.flush();
  }
}
