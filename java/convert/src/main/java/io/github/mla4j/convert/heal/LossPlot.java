package io.github.mla4j.convert.heal;

import java.awt.Color;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.style.Styler.ChartTheme;
import org.knowm.xchart.style.Styler.LegendPosition;
import org.knowm.xchart.style.markers.SeriesMarkers;

/** Draws a run's loss as a PNG file. */
final class LossPlot {
  private static final int WIDTH = 900;
  private static final int HEIGHT = 500;
  // Points that a line of this width can show.
  private static final int POINTS = 900;

  private LossPlot() {}

  /**
   * @param title above the picture
   * @param loss what the axis is called
   */
  static void write(Path file, LossHistory history, String title, String loss) throws IOException {
    XYChart chart =
        new XYChartBuilder()
            .width(WIDTH)
            .height(HEIGHT)
            .theme(ChartTheme.Matlab)
            .title(title)
            .xAxisTitle("step")
            .yAxisTitle(loss)
            .build();
    chart.getStyler().setLegendPosition(LegendPosition.InsideNE);
    chart.getStyler().setYAxisMin(0.0);
    int steps = history.size();
    int stride = Math.max(1, steps / POINTS);
    int smooth = Math.max(1, steps / 20);
    double[] at = new double[(steps + stride - 1) / stride];
    double[] each = new double[at.length];
    double[] mean = new double[at.length];
    for (int i = 0; i < at.length; i++) {
      int begin = i * stride;
      int end = Math.min(steps, begin + stride);
      at[i] = end;
      each[i] = history.mean(begin, end);
      mean[i] = history.mean(Math.max(0, end - smooth), end);
    }
    line(chart, "steps", at, each, Color.LIGHT_GRAY);
    line(chart, "mean of " + smooth, at, mean, Color.BLUE.darker());
    Path fresh = file.resolveSibling(file.getFileName() + ".tmp");
    Files.write(fresh, BitmapEncoder.getBitmapBytes(chart, BitmapEncoder.BitmapFormat.PNG));
    Files.move(fresh, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
  }

  private static void line(XYChart chart, String name, double[] x, double[] y, Color color) {
    chart.addSeries(name, x, y).setMarker(SeriesMarkers.NONE).setLineColor(color);
  }
}
