package io.github.mla4j.eval.sweep;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;

final class PlotAxisTest {
  @Test
  void valuesLieWithinAndInOrder() {
    for (List<Double> values :
        List.of(
            List.of(3.0),
            List.of(0.0, 0.0),
            List.of(12.0, 12.1),
            List.of(1e-6, 0.5),
            List.of(100.0, 130.0, 250.0),
            List.of(500.0, 80_000.0),
            List.of(1.0, 1e9))) {
      for (PlotAxis axis :
          List.of(
              PlotAxis.linear(values, 10, 110),
              PlotAxis.fromZero(values, 110, 10),
              PlotAxis.logarithmic(values, 10, 110))) {
        for (double value : values) {
          assertTrue(axis.at(value) >= 10 && axis.at(value) <= 110, axis + " " + value);
        }
        List<Double> ticks = axis.ticks();
        assertTrue(ticks.size() >= 2 && ticks.size() <= 8, axis + " " + ticks);
        for (int i = 0; i < ticks.size(); i++) {
          assertTrue(ticks.get(i) >= axis.low() && ticks.get(i) <= axis.high(), axis + " " + ticks);
          assertTrue(i == 0 || ticks.get(i) > ticks.get(i - 1), ticks.toString());
        }
        assertEquals(
            ticks.size(), ticks.stream().map(PlotAxis::label).distinct().count(), ticks.toString());
      }
    }
  }

  @Test
  void equalRatiosAreEquallyFarApart() {
    PlotAxis axis = PlotAxis.logarithmic(List.of(1.0, 100.0), 0, 100);
    assertEquals(axis.at(10) - axis.at(1), axis.at(100) - axis.at(10), 1e-9);
    assertEquals(0, axis.at(0));
  }

  @Test
  void ticksAreShort() {
    assertEquals("0", PlotAxis.label(0));
    assertEquals("250", PlotAxis.label(250));
    assertEquals("1000", PlotAxis.label(1000));
    assertEquals("20k", PlotAxis.label(20_000));
    assertEquals("2.5M", PlotAxis.label(2_500_000));
    assertEquals("0.05", PlotAxis.label(0.05));
    assertEquals("12.5", PlotAxis.label(12.5));
    assertEquals("1e-5", PlotAxis.label(1e-5));
  }
}
