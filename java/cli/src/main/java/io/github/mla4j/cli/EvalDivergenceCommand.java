package io.github.mla4j.cli;

import com.fasterxml.jackson.core.JsonGenerator;
import io.github.mla4j.eval.Divergence;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code mla eval kld}: KL divergence from a teacher. */
@Command(
    name = "kld",
    description =
        "How far a model's distributions of the next token are from a teacher's: KL(teacher || "
            + "model) in nats at every position that ppl counts, and how often both find the same "
            + "token the likeliest.",
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    sortOptions = false)
final class EvalDivergenceCommand implements Callable<Integer> {
  @Mixin private EvalText text;

  @Option(
      names = "--teacher",
      required = true,
      paramLabel = "SOURCE",
      description =
          "The model to compare with, which has the same vocabulary; MODEL itself where another "
              + "--cache is to be measured.")
  private Path teacher;

  @Mixin private EvalTeacher comparison;

  @Override
  public Integer call() throws IOException {
    EvalTeacher.Compared<Divergence> compared =
        comparison.compare(
            text,
            teacher,
            (pair, progress) ->
                Divergence.measure(
                    pair.model(),
                    pair.teacher(),
                    pair.vocabulary(),
                    pair.windows(),
                    mean -> progress.add(1, "mean divergence %.5f", mean)));
    text.arguments()
        .print(
            json -> write(json, compared.measured(), compared.bytesPerToken()),
            out -> print(out, compared.measured(), compared.bytesPerToken()));
    return 0;
  }

  private static void write(JsonGenerator json, Divergence measured, double bytesPerToken)
      throws IOException {
    Json.number(json, "kld_mean", measured.mean());
    Json.number(json, "kld_stderr", measured.standardError());
    Json.number(json, "kld_median", measured.median());
    Json.number(json, "kld_p99", measured.p99());
    Json.number(json, "kld_max", measured.max());
    Json.number(json, "top1_agreement", measured.agreement().value());
    Json.number(json, "top1_agreement_stderr", measured.agreement().standardError());
    PerplexityReport.write(json, measured.perplexity(), bytesPerToken);
  }

  private static void print(PrintWriter out, Divergence measured, double bytesPerToken) {
    out.printf(
        Locale.ROOT,
        "KL divergence %.6f ± %.6f, median %.6f, 99th percentile %.6f, greatest %.6f%n",
        measured.mean(),
        measured.standardError(),
        measured.median(),
        measured.p99(),
        measured.max());
    out.printf(
        Locale.ROOT,
        "same token likeliest %.2f ± %.2f %%%n",
        100 * measured.agreement().value(),
        100 * measured.agreement().standardError());
    PerplexityReport.print(out, measured.perplexity(), bytesPerToken);
  }
}
