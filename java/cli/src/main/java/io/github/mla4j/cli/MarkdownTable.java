package io.github.mla4j.cli;

import java.io.PrintWriter;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/** A table in Markdown whose rows are printed as they come: columns are as wide as was said. */
final class MarkdownTable {
  /**
   * A column.
   *
   * @param width of its cells; longer ones stick out
   * @param left whether cells begin at the left end
   */
  record Column(String title, int width, boolean left) {
    static Column left(String title, int width) {
      return new Column(title, Math.max(width, title.length()), true);
    }

    static Column right(String title, int width) {
      return new Column(title, Math.max(width, title.length()), false);
    }

    private String cell(String text) {
      String padding = " ".repeat(Math.max(0, width - text.length()));
      return left ? text + padding : padding + text;
    }

    private String rule() {
      return left ? "-".repeat(width) : "-".repeat(width - 1) + ":";
    }
  }

  private final PrintWriter out;
  private final List<Column> columns;

  /** Prints the header. */
  MarkdownTable(PrintWriter out, List<Column> columns) {
    this.out = out;
    this.columns = List.copyOf(columns);
    print(columns.stream().map(column -> column.cell(column.title)).toList());
    print(columns.stream().map(Column::rule).toList());
  }

  /** Prints a row, a cell for every column. */
  void row(List<String> cells) {
    print(
        IntStream.range(0, columns.size())
            .mapToObj(i -> columns.get(i).cell(cells.get(i)))
            .toList());
  }

  private void print(List<String> cells) {
    out.println(cells.stream().collect(Collectors.joining(" | ", "| ", " |")));
    out.flush();
  }
}
