package io.github.mla4j.cli;

import com.fasterxml.jackson.core.JsonGenerator;
import io.github.mla4j.Model;
import io.github.mla4j.Session;
import io.github.mla4j.eval.HellaSwag;
import io.github.mla4j.eval.HellaSwagTask;
import io.github.mla4j.eval.Share;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code mla eval hellaswag}: the likeliest of four endings. */
@Command(
    name = "hellaswag",
    description =
        "How often the right one of four endings is the likeliest, by the mean log-probability of "
            + "its tokens; beside it by that of its characters (acc_norm of lm-evaluation-harness) "
            + "and by that of the whole ending (its acc).",
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    sortOptions = false)
final class EvalHellaSwagCommand implements Callable<Integer> {
  @Mixin private EvalArguments arguments;

  @Option(
      names = "--data",
      required = true,
      paramLabel = "FILE",
      description =
          "Tasks of six lines each: context, index of the right ending from 0, four endings.")
  private Path file;

  @Option(
      names = "--ctx",
      paramLabel = "N",
      description =
          "Tokens that a context and its ending may take; longer contexts lose their beginning "
              + "(default: 1024, or the model's context if that is less).")
  private Integer context;

  @Option(
      names = "--limit",
      paramLabel = "N",
      description = "Ask the first N tasks only (default: all).")
  private Integer limit;

  @Override
  public Integer call() throws IOException {
    arguments.requireAtLeast("--limit", limit, 1);
    List<HellaSwagTask> all = HellaSwagTask.read(file);
    List<HellaSwagTask> tasks = limit == null ? all : all.subList(0, Math.min(limit, all.size()));
    try (Model model = arguments.openModel()) {
      int tokens = arguments.context(context, 2, model, "the model");
      EvalProgress progress = arguments.progress(tasks.size());
      try (Session session = arguments.openSession(model, tokens)) {
        HellaSwag measured =
            HellaSwag.measure(
                session,
                model.tokenizer(),
                tasks,
                tokens,
                soFar -> progress.add(1, "accuracy %.3f", soFar.byToken().value()));
        double bytes = arguments.bytesPerToken(model, tokens);
        arguments.print(json -> write(json, measured, bytes), out -> print(out, measured));
      }
    }
    return 0;
  }

  private static void write(JsonGenerator json, HellaSwag measured, double bytesPerToken)
      throws IOException {
    Json.number(json, "accuracy", measured.byToken().value());
    Json.number(json, "stderr", measured.byToken().standardError());
    Json.number(json, "accuracy_by_character", measured.byCharacter().value());
    Json.number(json, "accuracy_by_character_stderr", measured.byCharacter().standardError());
    Json.number(json, "accuracy_raw", measured.raw().value());
    Json.number(json, "accuracy_raw_stderr", measured.raw().standardError());
    json.writeNumberField("tasks", measured.tasks());
    Json.number(json, "bytes_per_token", bytesPerToken);
  }

  private static void print(PrintWriter out, HellaSwag measured) {
    out.printf(
        Locale.ROOT,
        "accuracy %s over %,d tasks; by character %s, raw %s%n",
        describe(measured.byToken()),
        measured.tasks(),
        describe(measured.byCharacter()),
        describe(measured.raw()));
  }

  private static String describe(Share share) {
    return String.format(Locale.ROOT, "%.4f ± %.4f", share.value(), share.standardError());
  }
}
