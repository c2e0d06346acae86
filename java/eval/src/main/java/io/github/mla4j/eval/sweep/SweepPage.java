package io.github.mla4j.eval.sweep;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * A sweep as one HTML page that needs nothing besides itself: no script, no font, no picture from
 * elsewhere. It is well-formed XML as well.
 */
public final class SweepPage {
  private SweepPage() {}

  /** The page. */
  public static String of(Sweep sweep) {
    StringBuilder page = new StringBuilder();
    String title = "Cache sweep: " + sweep.source().label();
    page.append(
        Markup.format(
            """
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8"/>
            <meta name="viewport" content="width=device-width, initial-scale=1"/>
            <title>%s</title>
            <style>
            """,
            title));
    page.append(style()).append("</style>\n</head>\n<body>\n<main>\n");
    page.append(Markup.format("<h1>%s</h1>\n", title));
    page.append(summary(sweep));
    if (!sweep.results().isEmpty()) {
      page.append(SweepLegend.of(sweep));
      page.append(plots(sweep));
      page.append("<h2>Numbers</h2>\n").append(SweepTable.quality(sweep));
      page.append(SweepTable.speed(sweep));
    }
    page.append(SweepNotes.of(sweep));
    return page.append("</main>\n</body>\n</html>\n").toString();
  }

  private static String summary(Sweep sweep) {
    int done = sweep.results().size();
    String left =
        done == sweep.pairs()
            ? ""
            : Markup.format(
                "<p><strong>Not finished: %d of %d pairs are measured.</strong></p>\n",
                done, sweep.pairs());
    List<SweepEntry> front = sweep.front();
    if (front.isEmpty()) {
      return left;
    }
    SweepEntry best = front.get(front.size() - 1);
    SweepEntry least = front.get(0);
    return left
        + Markup.format(
            "<p>%d pairs of model and cache type, each with what its cache takes, how good it is and"
                + " how fast. The best perplexity, %.3f, is that of %s, at %,.0f bytes per token;"
                + " the smallest cache, %s, takes %,.0f (%.1f %% of the source with f16) and has a"
                + " perplexity of %.3f.</p>\n",
            done,
            best.quality().perplexity(),
            best.title(),
            best.bytesPerToken(),
            least.title(),
            least.bytesPerToken(),
            100 * sweep.shareOfSource(least),
            least.quality().perplexity());
  }

  private static String plots(Sweep sweep) {
    SweepPlots plots = new SweepPlots(sweep);
    StringBuilder page =
        new StringBuilder("<h2>Quality against bytes</h2>\n<div class=\"plots\">\n");
    page.append(
        figure(
            "Perplexity",
            "Lower and further left is better; the dashed line is the front.",
            plots.perplexity()));
    page.append(
        figure(
            "KL divergence from the teacher",
            "Lower and further left is better; what is 0 lies on the lower edge.",
            plots.divergence()));
    page.append("</div>\n");
    boolean timed = sweep.results().stream().anyMatch(entry -> !entry.speeds().isEmpty());
    if (timed) {
      page.append("<h2>Speed against depth</h2>\n<div class=\"plots\">\n");
      page.append(figure("Decode", "Single tokens, by the median of their times.", plots.decode()));
      page.append(figure("Prefill", "Tokens that come together.", plots.prefill()));
      page.append("</div>\n");
    }
    return page.toString();
  }

  private static String figure(String title, String words, String svg) {
    return "<figure>\n"
        + Markup.format("<figcaption>%s<span>%s</span></figcaption>\n", title, words)
        + svg
        + "</figure>\n";
  }

  private static String style() {
    try (InputStream css = SweepPage.class.getResourceAsStream("page.css")) {
      return new String(css.readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new UncheckedIOException("page.css cannot be read from the jar", e);
    }
  }
}
