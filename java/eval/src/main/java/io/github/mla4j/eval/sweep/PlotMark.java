package io.github.mla4j.eval.sweep;

import java.util.Locale;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** The marks of plots: a shape for each cache type, which colours need not tell apart. */
final class PlotMark {
  /** Corners, of a mark about two units wide; the circle has none. */
  private static final double[][][] SHAPES = {
    {},
    {{-0.9, -0.9}, {0.9, -0.9}, {0.9, 0.9}, {-0.9, 0.9}},
    {{0, -1.15}, {1.1, 0.85}, {-1.1, 0.85}},
    {{0, -1.3}, {1.3, 0}, {0, 1.3}, {-1.3, 0}},
    {{0, 1.15}, {1.1, -0.85}, {-1.1, -0.85}},
    {
      {-0.4, -1.1}, {0.4, -1.1}, {0.4, -0.4}, {1.1, -0.4}, {1.1, 0.4}, {0.4, 0.4},
      {0.4, 1.1}, {-0.4, 1.1}, {-0.4, 0.4}, {-1.1, 0.4}, {-1.1, -0.4}, {-0.4, -0.4}
    },
    {{-0.6, -1.1}, {0.6, -1.1}, {1.2, 0}, {0.6, 1.1}, {-0.6, 1.1}, {-1.2, 0}},
    {{-1.2, -0.6}, {1.2, -0.6}, {1.2, 0.6}, {-1.2, 0.6}},
  };

  private PlotMark() {}

  /**
   * A mark.
   *
   * @param shape any index; shapes come again after the last
   * @param radius in pixels
   * @param style class attribute
   * @param title what it stands for; empty for none
   */
  static String svg(int shape, double x, double y, double radius, String style, String title) {
    double[][] corners = SHAPES[shape % SHAPES.length];
    String inside = title.isEmpty() ? "" : Markup.format("<title>%s</title>", title);
    if (corners.length == 0) {
      return Markup.format(
              "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\">", style, x, y, radius)
          + inside
          + "</circle>";
    }
    String points =
        Stream.of(corners)
            .map(c -> String.format(Locale.ROOT, "%.1f,%.1f", x + radius * c[0], y + radius * c[1]))
            .collect(Collectors.joining(" "));
    return Markup.format("<polygon class=\"%s\" points=\"%s\">", style, points)
        + inside
        + "</polygon>";
  }
}
