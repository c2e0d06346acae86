package io.github.mla4j.eval.sweep;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Locale;

/**
 * One direction of a plot: values to pixels, and which of them are written beside it.
 *
 * @param logarithmic whether equal ratios are equally far apart
 * @param low value at pixel {@code from}
 * @param high value at pixel {@code to}
 */
record PlotAxis(boolean logarithmic, double low, double high, double from, double to) {
  private static final int MOST_TICKS = 7;
  private static final int LEAST_TICKS = 3;

  /** Room beyond the outermost values, as a share of what they span. */
  private static final double MARGIN = 0.06;

  /** An axis from 0 to a little over the greatest value. */
  static PlotAxis fromZero(Collection<Double> values, double from, double to) {
    double greatest = values.stream().mapToDouble(x -> x).max().orElse(1);
    return new PlotAxis(false, 0, greatest > 0 ? greatest * (1 + MARGIN) : 1, from, to);
  }

  /** An axis around the values. */
  static PlotAxis linear(Collection<Double> values, double from, double to) {
    double least = values.stream().mapToDouble(x -> x).min().orElse(0);
    double greatest = values.stream().mapToDouble(x -> x).max().orElse(1);
    double span = greatest > least ? greatest - least : Math.max(Math.abs(least), 1);
    return new PlotAxis(false, least - MARGIN * span, greatest + MARGIN * span, from, to);
  }

  /** A logarithmic axis around those of the values that are above 0. */
  static PlotAxis logarithmic(Collection<Double> values, double from, double to) {
    List<Double> logs = values.stream().filter(value -> value > 0).map(Math::log10).toList();
    double least = logs.stream().mapToDouble(x -> x).min().orElse(-1);
    double greatest = logs.stream().mapToDouble(x -> x).max().orElse(0);
    double margin = Math.max(0.02, MARGIN * (greatest - least));
    return new PlotAxis(
        true, Math.pow(10, least - margin), Math.pow(10, greatest + margin), from, to);
  }

  /** The pixel of a value; what lies below a logarithmic axis, 0 included, is at its beginning. */
  double at(double value) {
    double share =
        logarithmic
            ? Math.log(Math.max(value, low) / low) / Math.log(high / low)
            : (value - low) / (high - low);
    return from + share * (to - from);
  }

  /** The values that are written beside it. */
  List<Double> ticks() {
    if (!logarithmic) {
      return even();
    }
    for (int[] mantissas : new int[][] {{1, 2, 3, 5, 7}, {1, 2, 5}, {1, 3}, {1}}) {
      List<Double> ticks = powers(mantissas, 1);
      if (ticks.size() < LEAST_TICKS) {
        return even();
      }
      if (ticks.size() <= MOST_TICKS) {
        return ticks;
      }
    }
    int decades = (int) Math.ceil(Math.log10(high / low) / MOST_TICKS);
    return powers(new int[] {1}, decades);
  }

  private List<Double> powers(int[] mantissas, int step) {
    List<Double> ticks = new ArrayList<>();
    for (int power = (int) Math.floor(Math.log10(low)); power <= Math.log10(high); power += step) {
      for (int mantissa : mantissas) {
        double tick = mantissa * Math.pow(10, power);
        if (tick >= low && tick <= high) {
          ticks.add(tick);
        }
      }
    }
    return ticks;
  }

  private List<Double> even() {
    double rough = (high - low) / (MOST_TICKS - 1);
    double power = Math.pow(10, Math.floor(Math.log10(rough)));
    double step = power;
    for (int mantissa : new int[] {1, 2, 5, 10}) {
      step = mantissa * power;
      if (step >= rough) {
        break;
      }
    }
    List<Double> ticks = new ArrayList<>();
    for (long i = (long) Math.ceil(low / step); i * step <= high; i++) {
      ticks.add(i * step);
    }
    return ticks;
  }

  /** A tick in a few characters. */
  static String label(double value) {
    double size = Math.abs(value);
    if (size >= 1e6) {
      return trimmed(value / 1e6, 3) + "M";
    }
    if (size >= 1e4) {
      return trimmed(value / 1e3, 3) + "k";
    }
    if (size >= 1e-3 || size == 0) {
      return trimmed(value, size >= 1 ? 2 : 5);
    }
    return String.format(Locale.ROOT, "%.0e", value).replace("e-0", "e-");
  }

  private static String trimmed(double value, int decimals) {
    String text = String.format(Locale.ROOT, "%." + decimals + "f", value);
    return text.replaceAll("\\.?0+$", "").replaceAll("^-?$", "0");
  }
}
