package io.github.mla4j.convert;

import java.nio.file.Path;

/** Text on which a recipe measures the source model. */
public sealed interface Calibration {

  /** The file read. */
  Path file();

  /** UTF-8 text, tokenized by the source's own tokenizer and cut into windows. */
  record Text(Path file) implements Calibration {}

  /** Token ids, one sequence a line, separated by spaces or commas. */
  record Ids(Path file) implements Calibration {}
}
