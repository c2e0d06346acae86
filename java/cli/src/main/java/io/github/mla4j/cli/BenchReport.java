package io.github.mla4j.cli;

import io.github.mla4j.eval.bench.BenchRow;
import java.io.IOException;

/** Prints a benchmark's rows. */
interface BenchReport {
  /** The next one. */
  void row(BenchRow row);

  /** There are no more: all were measured, or it was stopped. */
  void finish() throws IOException;
}
