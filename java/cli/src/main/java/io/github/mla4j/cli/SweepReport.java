package io.github.mla4j.cli;

import io.github.mla4j.eval.sweep.CacheQuality;
import io.github.mla4j.eval.sweep.DepthSpeed;
import io.github.mla4j.eval.sweep.QualityFront;
import io.github.mla4j.eval.sweep.Sweep;
import io.github.mla4j.eval.sweep.SweepEntry;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Stream;

/** A sweep in words: the table that a terminal has room for, and the best choice. */
final class SweepReport {
  private final Sweep sweep;

  SweepReport(Sweep sweep) {
    this.sweep = sweep;
  }

  /** The front is marked by stars; prefill and memory are in the files. */
  void printTable(PrintWriter out) {
    List<String> header =
        new ArrayList<>(
            List.of(
                "model, cache (*: best for its bytes)",
                "bytes per token",
                "of f16",
                "bits",
                "perplexity",
                "KL divergence",
                "top-1"));
    sweep.settings().depths().forEach(depth -> header.add(format("tokens/s at %,d", depth)));
    TextTable table = new TextTable(header.toArray(String[]::new));
    List<SweepEntry> front = sweep.front();
    for (SweepEntry entry : sweep.results()) {
      CacheQuality quality = entry.quality();
      Stream<String> speeds =
          sweep.settings().depths().stream()
              .map(
                  depth ->
                      entry
                          .speedAt(depth)
                          .map(DepthSpeed::decodeTokensPerSecond)
                          .map(value -> format(value < 100 ? "%,.1f" : "%,.0f", value))
                          .orElse("-"));
      table.row(
          Stream.concat(
                  Stream.of(
                      entry.title() + (front.contains(entry) ? " *" : ""),
                      format("%,.1f", entry.bytesPerToken()),
                      format("%.1f %%", 100 * sweep.shareOfSource(entry)),
                      format("%.2f", entry.effectiveBits()),
                      format("%.3f ± %.3f", quality.perplexity(), quality.perplexityStderr()),
                      format("%.5f", quality.kldMean()),
                      format("%.2f %%", 100 * quality.top1Agreement())),
                  speeds)
              .toArray(String[]::new));
    }
    table.print(out);
  }

  /** The best choice within so many bytes per token; empty where none takes so few. */
  Optional<String> best(double bytesPerToken) {
    return QualityFront.best(sweep.results(), bytesPerToken)
        .map(
            entry ->
                format(
                    "best within %,.1f bytes per token: %s, perplexity %.3f with %,.1f bytes per "
                        + "token (%.1f %% of the source's f16)",
                    bytesPerToken,
                    entry.title(),
                    entry.quality().perplexity(),
                    entry.bytesPerToken(),
                    100 * sweep.shareOfSource(entry)));
  }

  /** Why there is no best choice. */
  String noneFits(double bytesPerToken) {
    String least =
        QualityFront.smallest(sweep.results())
            .map(entry -> format("%s takes %,.1f", entry.title(), entry.bytesPerToken()))
            .orElse("nothing has a perplexity");
    return format("--bytes-per-token is %s, and no choice takes so few: %s", bytesPerToken, least);
  }

  private static String format(String format, Object... values) {
    return String.format(Locale.ROOT, format, values);
  }
}
