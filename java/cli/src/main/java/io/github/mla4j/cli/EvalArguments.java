package io.github.mla4j.cli;

import io.github.mla4j.Activations;
import io.github.mla4j.CacheOptions;
import io.github.mla4j.Model;
import io.github.mla4j.Session;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.function.Consumer;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** What all measures are told. */
final class EvalArguments {
  private static final int USUAL_CONTEXT = 1024;

  @Spec(Spec.Target.MIXEE)
  private CommandSpec spec;

  @Parameters(paramLabel = "MODEL", description = "A GGUF file or a Hugging Face folder.")
  private Path file;

  @Option(
      names = "--cache",
      paramLabel = "TYPE",
      description = "How the cache keeps numbers, as for run (default: f16).")
  private CacheOptions cache = CacheOptions.defaults();

  @Option(
      names = "--threads",
      paramLabel = "T",
      description = "Threads that compute (default: one per core).")
  private Integer threads;

  @Mixin private DeviceArguments device;

  @Option(names = "--json", description = "Print one JSON object.")
  private boolean json;

  Path file() {
    return file;
  }

  /** The model; the caller closes it. */
  Model openModel() throws IOException {
    requireAtLeast("--threads", threads, 1);
    return openModel(file);
  }

  /** Another model, for the same device; the caller closes it. */
  Model openModel(Path other) throws IOException {
    return Models.open(other, device.device());
  }

  /** A session of the model; the caller closes it. */
  Session openSession(Model model, int context) {
    return openSession(model, context, cache);
  }

  /** The same with another cache. */
  Session openSession(Model model, int context, CacheOptions cache) {
    return model.newSession(
        session -> {
          session.cache(cache).contextLength(context).activations(Activations.FINE);
          if (threads != null) {
            session.threads(threads);
          }
        });
  }

  /** What the cache takes of a context of so many tokens, for each. */
  double bytesPerToken(Model model, int context) {
    return model.cacheBytesPerToken(cache, context);
  }

  /**
   * A context for a model: as asked for, or the usual one as far as the model has it.
   *
   * @param asked null where nothing was
   * @param owner whose context it is, for the error
   */
  int context(Integer asked, int least, Model model, String owner) {
    requireAtLeast("--ctx", asked, least);
    int most = model.info().contextLength();
    if (asked != null && asked > most) {
      throw wrong("--ctx is %d, expected at most %d, %s's context".formatted(asked, most, owner));
    }
    return asked == null ? Math.min(USUAL_CONTEXT, most) : asked;
  }

  /** Prints a result: as one JSON object of these fields, or in words. */
  void print(Json.Body fields, Consumer<PrintWriter> words) throws IOException {
    PrintWriter out = spec.commandLine().getOut();
    if (json) {
      Json.printObject(out, fields);
    } else {
      words.accept(out);
    }
  }

  /** Refuses a value below the least; null is none and passes. */
  void requireAtLeast(String option, Integer value, int least) {
    OptionValues.requireAtLeast(spec, option, value, least);
  }

  /** The command was called wrongly, in these words. */
  ParameterException wrong(String message) {
    return new ParameterException(spec.commandLine(), message);
  }

  /** Lines on the way, for so many units of work. */
  EvalProgress progress(long all) {
    return new EvalProgress(spec.commandLine().getErr(), all);
  }
}
