package io.github.mla4j.cli;

import io.github.mla4j.Model;
import io.github.mla4j.Session;
import io.github.mla4j.eval.Perplexity;
import io.github.mla4j.eval.PerplexityRatio;
import io.github.mla4j.eval.TextWindows;
import java.io.IOException;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

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

  @Option(
      names = "--teacher",
      paramLabel = "SOURCE",
      description =
          "A model with the same vocabulary: its perplexity and the ratio of both are told as well.")
  private Path teacher;

  @Mixin private EvalTeacher comparison;

  @Override
  public Integer call() throws IOException {
    if (teacher == null) {
      comparison.requireNone(text.arguments());
      measure();
    } else {
      compare();
    }
    return 0;
  }

  private void measure() throws IOException {
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
        double bytes = arguments.bytesPerToken(model, window);
        arguments.print(
            json -> PerplexityReport.write(json, measured, bytes),
            out -> PerplexityReport.print(out, measured, bytes));
      }
    }
  }

  private void compare() throws IOException {
    EvalTeacher.Compared<PerplexityRatio> compared =
        comparison.compare(
            text,
            teacher,
            (pair, progress) ->
                PerplexityRatio.measure(
                    pair.model(),
                    pair.teacher(),
                    pair.windows(),
                    soFar ->
                        progress.add(
                            1,
                            "perplexity %.3f, ratio %.4f",
                            soFar.model().value(),
                            soFar.value())));
    text.arguments()
        .print(
            json -> PerplexityReport.write(json, compared.measured(), compared.bytesPerToken()),
            out -> PerplexityReport.print(out, compared.measured(), compared.bytesPerToken()));
  }
}
