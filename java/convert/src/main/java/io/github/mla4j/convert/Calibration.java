package io.github.mla4j.convert;

import java.nio.file.Path;

/** Text on which a recipe measures the source model. */
public sealed interface Calibration {

  /** UTF-8 text, tokenized by the source's own tokenizer and cut into windows. */
  record Text(Path file) implements Calibration {}

  /** A text that comes with the library, in the public domain. */
  record Bundled() implements Calibration {}

  /** Token ids, one sequence a line, separated by spaces or commas. */
  record Ids(Path file) implements Calibration {}
}
