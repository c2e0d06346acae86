package io.github.mla4j.eval.sweep;

import io.github.mla4j.eval.sweep.SvgPlot.Point;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.ToDoubleFunction;
import java.util.stream.IntStream;

/** The four plots of a sweep: quality against bytes, speed against depth. */
final class SweepPlots {
  /** The page's style sheet has so many colours. */
  static final int COLOURS = 8;

  /** Perplexities further apart than this are better told by their ratios. */
  private static final double LINEAR_SPAN = 3;

  private final Sweep sweep;
  private final List<SweepEntry> front;

  SweepPlots(Sweep sweep) {
    this.sweep = sweep;
    front = sweep.front();
  }

  /** Perplexity against bytes per token, with the front. */
  String perplexity() {
    ToDoubleFunction<SweepEntry> value = entry -> entry.quality().perplexity();
    List<SweepEntry> shown = shown(value);
    double least = shown.stream().mapToDouble(value).min().orElse(1);
    double greatest = shown.stream().mapToDouble(value).max().orElse(1);
    SvgPlot.AxisOf axis = greatest > LINEAR_SPAN * least ? PlotAxis::logarithmic : PlotAxis::linear;
    SvgPlot plot = againstBytes(shown, value, axis, "perplexity %.4f");
    plot.steps(points(front, value), "front");
    front.forEach(entry -> plot.label(point(entry, value), entry.cache()));
    return plot.svg(
        "ppl",
        "Perplexity against bytes per token",
        "Lower and further left is better. The line is the front: the best perplexity within so "
            + "many bytes. The numbers are in the table.",
        "bytes per token of the cache",
        "perplexity");
  }

  /** Divergence from the teacher against bytes per token. */
  String divergence() {
    ToDoubleFunction<SweepEntry> value = entry -> entry.quality().kldMean();
    SvgPlot plot = againstBytes(shown(value), value, PlotAxis::logarithmic, "KL divergence %.6f");
    return plot.svg(
        "kld",
        "KL divergence from the teacher against bytes per token",
        "Lower and further left is better. What is 0 lies on the lower edge. The numbers are in "
            + "the table.",
        "bytes per token of the cache",
        "KL divergence, nats");
  }

  /** Decode speed by depth. */
  String decode() {
    return speed("decode", "Decode speed against depth", DepthSpeed::decodeTokensPerSecond);
  }

  /** Prefill speed by depth. */
  String prefill() {
    return speed("prefill", "Prefill speed against depth", DepthSpeed::prefillTokensPerSecond);
  }

  /** The class of a model's colour. */
  static String colour(int model) {
    return "c" + model % COLOURS;
  }

  private SvgPlot againstBytes(
      List<SweepEntry> shown,
      ToDoubleFunction<SweepEntry> value,
      SvgPlot.AxisOf axis,
      String title) {
    SvgPlot plot = new SvgPlot(points(shown, value), PlotAxis::logarithmic, axis);
    for (SweepEntry entry : shown) {
      String words =
          String.format(
              Locale.ROOT,
              "%s: %,.1f bytes per token, " + title,
              entry.title(),
              entry.bytesPerToken(),
              value.applyAsDouble(entry));
      plot.mark(point(entry, value), shape(entry), colour(model(entry)), words);
    }
    return plot;
  }

  private String speed(String id, String title, ToDoubleFunction<DepthSpeed> value) {
    List<List<Point>> lines = new ArrayList<>();
    for (SweepEntry entry : sweep.results()) {
      lines.add(
          entry.speeds().stream()
              .map(at -> new Point(at.depth(), value.applyAsDouble(at)))
              .toList());
    }
    SvgPlot plot =
        new SvgPlot(
            lines.stream().flatMap(List::stream).toList(), PlotAxis::fromZero, PlotAxis::fromZero);
    for (int i = 0; i < lines.size(); i++) {
      SweepEntry entry = sweep.results().get(i);
      plot.line(lines.get(i), "line " + colour(model(entry)));
      for (Point point : lines.get(i)) {
        String words =
            String.format(
                Locale.ROOT,
                "%s: %,.1f tokens/s at depth %,.0f",
                entry.title(),
                point.y(),
                point.x());
        plot.mark(point, shape(entry), colour(model(entry)), words);
      }
    }
    return plot.svg(
        id,
        title,
        "Higher is better; level lines lose nothing with depth. The numbers are in the table.",
        "tokens in the cache",
        "tokens per second");
  }

  private List<SweepEntry> shown(ToDoubleFunction<SweepEntry> value) {
    return sweep.results().stream()
        .filter(entry -> Double.isFinite(value.applyAsDouble(entry)))
        .toList();
  }

  private static List<Point> points(List<SweepEntry> entries, ToDoubleFunction<SweepEntry> value) {
    return entries.stream().map(entry -> point(entry, value)).toList();
  }

  private static Point point(SweepEntry entry, ToDoubleFunction<SweepEntry> value) {
    return new Point(entry.bytesPerToken(), value.applyAsDouble(entry));
  }

  private int shape(SweepEntry entry) {
    return sweep.settings().caches().indexOf(entry.cache());
  }

  private int model(SweepEntry entry) {
    return IntStream.range(0, sweep.models().size())
        .filter(i -> sweep.models().get(i).label().equals(entry.model()))
        .findFirst()
        .orElse(0);
  }
}
