package io.github.mla4j.cli;

import com.fasterxml.jackson.core.JsonGenerator;
import io.github.mla4j.Model;
import io.github.mla4j.Session;
import io.github.mla4j.eval.Perplexity;
import io.github.mla4j.eval.TextWindows;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** {@code mla eval ppl}: perplexity of a text. */
@Command(
    name = "ppl",
    description =
        "Perplexity of a text, in consecutive windows that each begin with an empty cache; every "
            + "position of a window after its first counts.",
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    sortOptions = false)
final class EvalPerplexityCommand implements Callable<Integer> {
  @Mixin private EvalText text;

  @Override
  public Integer call() throws IOException {
    EvalArguments arguments = text.arguments();
    String words = text.read();
    try (Model model = arguments.openModel()) {
      int window = text.window(model, "the model");
      TextWindows windows = text.windows(model, words, window);
      EvalProgress progress = arguments.progress(windows.count());
      try (Session session = arguments.openSession(model, window)) {
        Perplexity measured =
            Perplexity.measure(
                session, windows, soFar -> progress.add(1, "perplexity %.3f", soFar.value()));
        double bytes = arguments.bytesPerToken(model);
        arguments.print(json -> write(json, measured, bytes), out -> print(out, measured, bytes));
      }
    }
    return 0;
  }

  private static void write(JsonGenerator json, Perplexity measured, double bytesPerToken)
      throws IOException {
    Json.number(json, "perplexity", measured.value());
    Json.number(json, "stderr", measured.standardError());
    json.writeNumberField("tokens", measured.tokens());
    Json.number(json, "bytes_per_token", bytesPerToken);
  }

  private static void print(PrintWriter out, Perplexity measured, double bytesPerToken) {
    out.printf(
        Locale.ROOT,
        "perplexity %.4f ± %.4f over %,d tokens, %,.0f bytes cached a token%n",
        measured.value(),
        measured.standardError(),
        measured.tokens(),
        bytesPerToken);
  }
}
