package io.github.mla4j.cli;

import io.github.mla4j.Roofline;
import io.github.mla4j.cli.MarkdownTable.Column;
import io.github.mla4j.eval.Machine;
import io.github.mla4j.eval.bench.BenchRow;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** The table that llama-bench prints, with the roofline and memory besides; a row at a time. */
final class BenchTable implements BenchReport {
  private static final int BATCH_COLUMN = 5; // before the test

  private final PrintWriter out;
  private final Roofline roofline;
  private final boolean batches;
  private final MarkdownTable table;
  private final List<BenchRow> rows = new ArrayList<>();

  /**
   * Prints the machine and the header.
   *
   * @param models labels that the rows will have
   * @param batches whether some have several sequences: then that is a column
   */
  BenchTable(
      PrintWriter out, Machine machine, Roofline roofline, List<String> models, boolean batches) {
    this.out = out;
    this.roofline = roofline;
    this.batches = batches;
    out.println(machineLine(machine, roofline));
    out.println();
    int longest = models.stream().mapToInt(String::length).max().orElse(0);
    List<Column> columns =
        new ArrayList<>(
            List.of(
                Column.left("model", longest),
                Column.right("size", 10),
                Column.right("params", 8),
                Column.left("cache", 5),
                Column.right("threads", 0),
                Column.right("test", 15),
                Column.right("t/s", 18),
                Column.right("of roofline", 13),
                Column.right("cache B/token", 0),
                Column.right("cache size", 0),
                Column.right("peak memory", 0)));
    if (batches) {
      columns.add(BATCH_COLUMN, Column.right("batch", 0));
    }
    table = new MarkdownTable(out, columns);
  }

  /** What the machine gives, in words. */
  static String machineLine(Machine machine, Roofline roofline) {
    return format(
        "%s, %s, %d %s: reads %.1f GB/s, multiplies and adds %.1f G floats/s, %.1f G integers/s",
        machine.cpu(),
        machine.isa(),
        roofline.threads(),
        roofline.threads() == 1 ? "thread" : "threads",
        roofline.bytesPerSecond() / 1e9,
        roofline.floatMultiplyAddsPerSecond() / 1e9,
        roofline.integerMultiplyAddsPerSecond() / 1e9);
  }

  @Override
  public void row(BenchRow row) {
    rows.add(row);
    List<String> cells =
        new ArrayList<>(
            List.of(
                row.model(),
                bytes(row.weightBytes()),
                count(row.parameters()),
                row.cache(),
                String.valueOf(roofline.threads()),
                row.test().label(),
                format("%.2f ± %.2f", row.tokensPerSecond(), row.standardDeviation()),
                format(
                    "%.0f %% %s",
                    100 * row.rooflineShare(roofline),
                    row.isBoundByMemory(roofline) ? "memory" : "compute"),
                format("%.1f", row.cacheBytesPerToken()),
                bytes(row.cacheBytes()),
                row.peakBytes() == 0 ? "" : bytes(row.peakBytes())));
    if (batches) {
      cells.add(BATCH_COLUMN, String.valueOf(row.test().batch()));
    }
    table.row(cells);
  }

  @Override
  public void finish() {
    for (BenchRow row : rows) {
      row.profile().ifPresent(profile -> BenchProfileTable.print(out, row, profile, roofline));
    }
    out.flush();
  }

  /** As llama-bench has it: 3 decimals of a KiB, MiB or GiB are two. */
  static String bytes(double bytes) {
    String[] units = {"B", "KiB", "MiB", "GiB"};
    int unit = 0;
    while (bytes >= 1024 && unit < units.length - 1) {
      bytes /= 1024;
      unit++;
    }
    return format(unit == 0 ? "%.0f %s" : "%.2f %s", bytes, units[unit]);
  }

  static String count(double count) {
    String[] units = {"", " K", " M", " B"};
    int unit = 0;
    while (count >= 1000 && unit < units.length - 1) {
      count /= 1000;
      unit++;
    }
    return format(unit == 0 ? "%.0f%s" : "%.2f%s", count, units[unit]);
  }

  private static String format(String format, Object... values) {
    return String.format(Locale.ROOT, format, values);
  }
}
