package io.github.mla4j.eval.sweep;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;

/**
 * A plot as inline SVG: small enough in its own units that text stays readable on a phone. Colours
 * are classes c0, c1 … of the page's style sheet, so that they follow its light and dark.
 */
final class SvgPlot {
  private static final double WIDTH = 420;
  private static final double HEIGHT = 320;
  private static final double LEFT = 52;
  private static final double RIGHT = WIDTH - 12;
  private static final double TOP = 12;
  private static final double BOTTOM = HEIGHT - 42;
  private static final double MARK = 4.5;

  private final PlotAxis x;
  private final PlotAxis y;
  private final List<String> lines = new ArrayList<>();
  private final List<String> marks = new ArrayList<>();
  private final List<String> texts = new ArrayList<>();
  private final PlotLabels labels = new PlotLabels(LEFT, TOP, RIGHT, BOTTOM);

  /** A point of a plot, in the axes' values. */
  record Point(double x, double y) {}

  /** An axis of the values, between two pixels. */
  interface AxisOf {
    PlotAxis between(List<Double> values, double from, double to);
  }

  /** An empty plot with room for these points. */
  SvgPlot(List<Point> points, AxisOf xAxis, AxisOf yAxis) {
    x = xAxis.between(points.stream().map(Point::x).toList(), LEFT, RIGHT);
    y = yAxis.between(points.stream().map(Point::y).toList(), BOTTOM, TOP);
  }

  /** Joins points. */
  void line(List<Point> points, String style) {
    String path = points.stream().map(this::at).collect(Collectors.joining(" "));
    lines.add(Markup.format("<polyline class=\"%s\" points=\"%s\"/>", style, path));
  }

  /** Joins points by steps: level up to the next one's x, then up or down. */
  void steps(List<Point> points, String style) {
    List<Point> corners = new ArrayList<>();
    for (Point point : points) {
      if (!corners.isEmpty()) {
        corners.add(new Point(point.x, corners.get(corners.size() - 1).y));
      }
      corners.add(point);
    }
    line(corners, style);
  }

  /** Puts a mark that tells its title when it is pointed at. */
  void mark(Point point, int shape, String style, String title) {
    marks.add(PlotMark.svg(shape, x.at(point.x), y.at(point.y), MARK, style, title));
    labels.mark(x.at(point.x), y.at(point.y), MARK + 1);
  }

  /** Writes beside a mark where there is room; after all marks, for they come first. */
  void label(Point point, String text) {
    labels
        .place(text, x.at(point.x), y.at(point.y))
        .ifPresent(
            place ->
                texts.add(
                    Markup.format(
                        "<text class=\"label\" x=\"%.1f\" y=\"%.1f\">%s</text>",
                        place.x(), place.y(), text)));
  }

  /**
   * The whole plot.
   *
   * @param id of the page, unlike the other plots'
   * @param title what it shows
   * @param description the same in more words, for those who cannot see it
   */
  String svg(String id, String title, String description, String xTitle, String yTitle) {
    StringBuilder svg = new StringBuilder();
    svg.append(
        Markup.format(
            """
            <svg viewBox="0 0 %.0f %.0f" role="img" aria-labelledby="%s-t %s-d">
            <title id="%s-t">%s</title>
            <desc id="%s-d">%s</desc>
            """,
            WIDTH, HEIGHT, id, id, id, title, id, description));
    for (double tick : x.ticks()) {
      svg.append(
          Markup.format(
              "<line class=\"grid\" x1=\"%1$.1f\" y1=\"%2$.1f\" x2=\"%1$.1f\" y2=\"%3$.1f\"/>"
                  + "<text class=\"tick\" text-anchor=\"middle\" x=\"%1$.1f\" y=\"%4$.1f\">%5$s</text>\n",
              x.at(tick), TOP, BOTTOM, BOTTOM + 15, PlotAxis.label(tick)));
    }
    for (double tick : y.ticks()) {
      svg.append(
          Markup.format(
              "<line class=\"grid\" x1=\"%2$.1f\" y1=\"%1$.1f\" x2=\"%3$.1f\" y2=\"%1$.1f\"/>"
                  + "<text class=\"tick\" text-anchor=\"end\" x=\"%4$.1f\" y=\"%5$.1f\">%6$s</text>\n",
              y.at(tick), LEFT, RIGHT, LEFT - 8, y.at(tick) + 4, PlotAxis.label(tick)));
    }
    svg.append(
        Markup.format(
            "<text class=\"axis\" text-anchor=\"middle\" x=\"%.1f\" y=\"%.1f\">%s</text>\n",
            (LEFT + RIGHT) / 2, HEIGHT - 8, xTitle));
    svg.append(
        Markup.format(
            "<text class=\"axis\" text-anchor=\"middle\" transform=\"translate(12 %.1f) rotate(-90)\">%s</text>\n",
            (TOP + BOTTOM) / 2, yTitle));
    svg.append(
        Markup.format(
            "<rect class=\"frame\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n",
            LEFT, TOP, RIGHT - LEFT, BOTTOM - TOP));
    for (List<String> part : List.of(lines, marks, texts)) {
      part.forEach(element -> svg.append(element).append('\n'));
    }
    return svg.append("</svg>\n").toString();
  }

  private String at(Point point) {
    return String.format(Locale.ROOT, "%.1f,%.1f", x.at(point.x), y.at(point.y));
  }
}
