package io.github.mla4j.cli;

import com.fasterxml.jackson.core.JsonGenerator;
import io.github.mla4j.eval.Perplexity;
import io.github.mla4j.eval.PerplexityRatio;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.Locale;

/** A perplexity, and how it stands to a teacher's, as ppl and kld tell it. */
final class PerplexityReport {
  private PerplexityReport() {}

  static void write(JsonGenerator json, Perplexity measured, double bytesPerToken)
      throws IOException {
    Json.number(json, "perplexity", measured.value());
    Json.number(json, "stderr", measured.standardError());
    json.writeNumberField("tokens", measured.tokens());
    Json.number(json, "bytes_per_token", bytesPerToken);
  }

  static void write(JsonGenerator json, PerplexityRatio measured, double bytesPerToken)
      throws IOException {
    write(json, measured.model(), bytesPerToken);
    Json.number(json, "teacher_perplexity", measured.teacher().value());
    Json.number(json, "teacher_stderr", measured.teacher().standardError());
    Json.number(json, "perplexity_ratio", measured.value());
    Json.number(json, "perplexity_ratio_stderr", measured.standardError());
  }

  static void print(PrintWriter out, Perplexity measured, double bytesPerToken) {
    out.printf(
        Locale.ROOT,
        "perplexity %.4f ± %.4f over %,d tokens, %,.0f bytes cached a token%n",
        measured.value(),
        measured.standardError(),
        measured.tokens(),
        bytesPerToken);
  }

  static void print(PrintWriter out, PerplexityRatio measured, double bytesPerToken) {
    print(out, measured.model(), bytesPerToken);
    out.printf(
        Locale.ROOT,
        "teacher's perplexity %.4f ± %.4f, ratio %.5f ± %.5f%n",
        measured.teacher().value(),
        measured.teacher().standardError(),
        measured.value(),
        measured.standardError());
  }
}
