package io.github.mla4j.eval.sweep;

/** What the colours and shapes of the plots stand for. */
final class SweepLegend {
  private SweepLegend() {}

  static String of(Sweep sweep) {
    StringBuilder legend =
        new StringBuilder("<ul class=\"legend\" aria-label=\"Colours: models\">\n");
    for (int i = 0; i < sweep.models().size(); i++) {
      String label = sweep.models().get(i).label() + (i == 0 ? " (source)" : "");
      legend.append(item(0, SweepPlots.colour(i), label));
    }
    legend.append("</ul>\n<ul class=\"legend\" aria-label=\"Shapes: cache types\">\n");
    for (int i = 0; i < sweep.settings().caches().size(); i++) {
      legend.append(item(i, "shape", sweep.settings().caches().get(i)));
    }
    return legend.append("</ul>\n").toString();
  }

  private static String item(int shape, String style, String text) {
    return "<li><svg viewBox=\"-8 -8 16 16\" aria-hidden=\"true\">"
        + PlotMark.svg(shape, 0, 0, 5, style, "")
        + Markup.format("</svg>%s</li>\n", text);
  }
}
