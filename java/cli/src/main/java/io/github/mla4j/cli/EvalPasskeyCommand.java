package io.github.mla4j.cli;

import com.fasterxml.jackson.core.JsonGenerator;
import io.github.mla4j.Model;
import io.github.mla4j.Session;
import io.github.mla4j.eval.Passkey;
import io.github.mla4j.eval.PasskeyFiller;
import io.github.mla4j.eval.Share;
import io.github.mla4j.tokenizer.Tokenizer;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code mla eval passkey}: finding a number in a long text. */
@Command(
    name = "passkey",
    description =
        "How often a model finds a number of five digits that was hidden in a long text, by the "
            + "depth at which it was hidden. The question comes after the text's end; the answer is "
            + "what the model finds likeliest.",
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    sortOptions = false)
final class EvalPasskeyCommand implements Callable<Integer> {
  @Mixin private EvalArguments arguments;

  @Option(
      names = "--data",
      paramLabel = "FILE",
      description = "UTF-8 text to hide the number in (default: a text that comes with mla).")
  private Path file;

  @Option(
      names = "--ctx",
      split = ",",
      paramLabel = "N",
      description =
          "Tokens of text, question and answer together, one or several lengths (default: 1024, or "
              + "the model's context if that is less).")
  private List<Integer> contexts;

  @Option(
      names = "--depths",
      split = ",",
      paramLabel = "PERCENT",
      description =
          "Where the number is hidden: 0 is the text's beginning, 100 its end (default: "
              + "0,25,50,75,100).")
  private List<Integer> depths = List.of(0, 25, 50, 75, 100);

  @Option(names = "--limit", paramLabel = "N", description = "Trials at each depth (default: 10).")
  private int trials = 10;

  @Option(
      names = "--seed",
      paramLabel = "N",
      description = "Of the numbers and where the text begins (default: 1).")
  private long seed = 1;

  @Override
  public Integer call() throws IOException {
    arguments.requireAtLeast("--limit", trials, 1);
    for (int depth : depths) {
      if (depth < 0 || depth > 100) {
        throw arguments.wrong("--depths has %d, expected 0 to 100".formatted(depth));
      }
    }
    String text = file == null ? "" : PromptArguments.readText(file);
    if (file != null && text.isBlank()) {
      throw new IOException(file + ": has no text to hide a number in");
    }
    try (Model model = arguments.openModel()) {
      Tokenizer tokenizer = model.tokenizer();
      PasskeyFiller filler =
          file == null ? PasskeyFiller.bundled(tokenizer) : PasskeyFiller.of(tokenizer, text);
      List<Integer> lengths = lengths(model);
      List<Passkey> results = measure(model, tokenizer, filler, lengths);
      double bytes = arguments.bytesPerToken(model, Collections.max(lengths));
      arguments.print(json -> write(json, results, bytes), out -> print(out, results));
    }
    return 0;
  }

  private List<Passkey> measure(
      Model model, Tokenizer tokenizer, PasskeyFiller filler, List<Integer> lengths) {
    long all = depths.size() * lengths.stream().mapToLong(length -> (long) trials * length).sum();
    EvalProgress progress = arguments.progress(all);
    List<Passkey> results = new ArrayList<>();
    for (int length : lengths) {
      try (Session session = arguments.openSession(model, length)) {
        for (int depth : depths) {
          results.add(
              Passkey.measure(
                  session,
                  tokenizer,
                  filler,
                  length,
                  depth,
                  trials,
                  seed,
                  soFar ->
                      progress.add(
                          length, "tokens; %d found at %d %% of %d", soFar.hits(), depth, length)));
        }
      } catch (IllegalArgumentException e) {
        throw arguments.wrong("--ctx: " + e.getMessage());
      }
    }
    return results;
  }

  private List<Integer> lengths(Model model) {
    if (contexts == null) {
      return List.of(arguments.context(null, 2, model, "the model"));
    }
    return contexts.stream()
        .map(context -> arguments.context(context, 2, model, "the model"))
        .toList();
  }

  private static Share all(List<Passkey> results) {
    return new Share(
        results.stream().mapToInt(result -> result.found().hits()).sum(),
        results.stream().mapToInt(result -> result.found().of()).sum());
  }

  private static void write(JsonGenerator json, List<Passkey> results, double bytesPerToken)
      throws IOException {
    Json.number(json, "accuracy", all(results).value());
    Json.number(json, "stderr", all(results).standardError());
    json.writeNumberField("trials", all(results).of());
    Json.number(json, "bytes_per_token", bytesPerToken);
    json.writeArrayFieldStart("depths");
    for (Passkey result : results) {
      json.writeStartObject();
      json.writeNumberField("ctx", result.context());
      json.writeNumberField("depth", result.depth());
      Json.number(json, "accuracy", result.found().value());
      Json.number(json, "stderr", result.found().standardError());
      json.writeNumberField("trials", result.found().of());
      Json.number(json, "log_probability", result.logProbability());
      Json.number(json, "log_probability_stderr", result.standardError());
      json.writeEndObject();
    }
    json.writeEndArray();
  }

  private static void print(PrintWriter out, List<Passkey> results) {
    TextTable table = new TextTable("tokens", "depth", "found", "ln p(number)");
    for (Passkey result : results) {
      table.row(
          format("%,d", result.context()),
          format("%d %%", result.depth()),
          describe(result.found()),
          describe(result.logProbability(), result.standardError()));
    }
    table.row("all", "", describe(all(results)), "");
    table.print(out);
  }

  private static String describe(Share found) {
    return describe(found.value(), found.standardError());
  }

  /** One trial tells nothing of its error. */
  private static String describe(double value, double standardError) {
    return Double.isNaN(standardError)
        ? format("%.2f", value)
        : format("%.2f ± %.2f", value, standardError);
  }

  private static String format(String format, Object... values) {
    return String.format(Locale.ROOT, format, values);
  }
}
