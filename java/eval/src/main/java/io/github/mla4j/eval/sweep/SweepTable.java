package io.github.mla4j.eval.sweep;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.Function;

/**
 * The numbers of a sweep as HTML tables, the front marked: two of them, for a page of paper is no
 * wider.
 */
final class SweepTable {
  private static final String FRONT = "\u2605"; // a star, for those who print without colours

  private SweepTable() {}

  /** A column: its title, and its cell for a result. */
  private record Column(String title, Function<SweepEntry, String> cell) {}

  /** Bytes and quality. */
  static String quality(Sweep sweep) {
    return table(
        sweep,
        "Bytes and quality",
        List.of(
            new Column("bytes per token", entry -> number("%,.1f", entry.bytesPerToken())),
            new Column(
                "of the source\u2019s f16",
                entry -> number("%.1f %%", 100 * sweep.shareOfSource(entry))),
            new Column(
                "bytes in a long context",
                entry -> number("%,.1f", entry.bytesPerTokenInLongContext())),
            new Column("effective bits", entry -> number("%.2f", entry.effectiveBits())),
            new Column(
                "perplexity",
                entry ->
                    number("%.3f", entry.quality().perplexity())
                        + number(" \u00b1 %.3f", entry.quality().perplexityStderr())),
            new Column(
                "KL divergence",
                entry ->
                    number("%.5f", entry.quality().kldMean())
                        + number(" \u00b1 %.5f", entry.quality().kldStderr())),
            new Column(
                "top-1 agreement",
                entry -> number("%.2f %%", 100 * entry.quality().top1Agreement()))));
  }

  /** Speed and memory. */
  static String speed(Sweep sweep) {
    List<Column> columns = new ArrayList<>();
    for (int depth : sweep.settings().depths()) {
      columns.add(
          new Column(
              String.format(Locale.ROOT, "decode tokens/s at %,d", depth),
              entry -> rate(entry.speedAt(depth).map(DepthSpeed::decodeTokensPerSecond))));
    }
    for (int depth : sweep.settings().depths()) {
      columns.add(
          new Column(
              String.format(Locale.ROOT, "prefill tokens/s at %,d", depth),
              entry -> rate(entry.speedAt(depth).map(DepthSpeed::prefillTokensPerSecond))));
    }
    columns.add(new Column("peak memory, MiB", entry -> mebibytes(entry.peakMemoryBytes())));
    columns.add(new Column("process peak, MiB", entry -> mebibytes(entry.processPeakBytes())));
    return table(sweep, "Speed and memory", columns);
  }

  private static String table(Sweep sweep, String title, List<Column> columns) {
    List<SweepEntry> front = sweep.front();
    StringBuilder table = new StringBuilder();
    table.append(
        Markup.format(
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"%s\">\n<table>\n"
                + "<caption>%s; %s: on the front, the best perplexity for its bytes.</caption>\n",
            title, title, FRONT));
    table.append("<thead><tr><th class=\"left\" scope=\"col\">model</th>");
    table.append("<th class=\"left\" scope=\"col\">cache</th>");
    for (Column column : columns) {
      table.append(Markup.format("<th scope=\"col\">%s</th>", column.title));
    }
    table.append("</tr></thead>\n<tbody>\n");
    for (SweepEntry entry : sweep.results()) {
      boolean best = front.contains(entry);
      table.append(best ? "<tr class=\"on-front\">" : "<tr>");
      table.append(Markup.format("<th scope=\"row\">%s</th>", entry.model()));
      String cache = best ? entry.cache() + " " + FRONT : entry.cache();
      table.append(Markup.format("<th class=\"left\">%s</th>", cache));
      for (Column column : columns) {
        table.append(Markup.format("<td>%s</td>", column.cell.apply(entry)));
      }
      table.append("</tr>\n");
    }
    return table.append("</tbody>\n</table>\n</div>\n").toString();
  }

  private static String rate(Optional<Double> tokensPerSecond) {
    return tokensPerSecond
        .map(value -> number(value < 100 ? "%,.1f" : "%,.0f", value))
        .orElse("\u2013");
  }

  private static String mebibytes(long bytes) {
    return bytes == 0 ? "\u2013" : number("%,.1f", bytes / 1048576.0);
  }

  private static String number(String format, double value) {
    return Double.isFinite(value) ? String.format(Locale.ROOT, format, value) : "none";
  }
}
