package io.github.mla4j.benchmarks.peers;

import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Predicate;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.style.Styler.ChartTheme;
import org.knowm.xchart.style.Styler.LegendPosition;

/**
 * Decode speed against depth: every cache type of mla4j, of each peer the fastest at each depth.
 */
final class DepthPlot {
  private static final int WIDTH = 1000;
  private static final int HEIGHT = 600;

  private DepthPlot() {}

  /** A picture, as PNG; empty where there is nothing to draw. */
  static Optional<byte[]> png(Run run) throws IOException {
    XYChart chart =
        new XYChartBuilder()
            .width(WIDTH)
            .height(HEIGHT)
            .theme(ChartTheme.Matlab)
            .title("Decode speed against depth")
            .xAxisTitle("tokens in the cache")
            .yAxisTitle("tokens per second")
            .build();
    chart.getStyler().setLegendPosition(LegendPosition.OutsideE);
    chart.getStyler().setYAxisMin(0.0);
    lines(run).forEach((name, asked) -> draw(chart, run, name, asked));
    return chart.getSeriesMap().isEmpty()
        ? Optional.empty()
        : Optional.of(BitmapEncoder.getBitmapBytes(chart, BitmapEncoder.BitmapFormat.PNG));
  }

  private static Map<String, Predicate<Configuration>> lines(Run run) {
    Map<String, Predicate<Configuration>> lines = new LinkedHashMap<>();
    for (Configuration one : run.results().measured()) {
      if (one.peer() == Peer.MLA4J) {
        lines.put(one.label(), one::equals);
      } else {
        lines.put(one.peer().id() + ", fastest", other -> other.peer() == one.peer());
      }
    }
    return lines;
  }

  private static void draw(XYChart chart, Run run, String name, Predicate<Configuration> asked) {
    Map<Integer, Double> points = new LinkedHashMap<>();
    for (int depth : run.plan().depths()) {
      run.results()
          .fastest(asked, StepPlan.decodeTest(depth))
          .ifPresent(best -> points.put(depth, best.tokensPerSecond()));
    }
    if (!points.isEmpty()) {
      chart.addSeries(name, List.copyOf(points.keySet()), List.copyOf(points.values()));
    }
  }
}
