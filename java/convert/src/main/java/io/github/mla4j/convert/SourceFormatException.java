package io.github.mla4j.convert;

import java.io.IOException;

/**
 * A source that is damaged, contradictory or of a kind that cannot be read. The message names the
 * file and the key or tensor, and says what was expected.
 */
public class SourceFormatException extends IOException {
  private static final long serialVersionUID = 1L;

  public SourceFormatException(String message) {
    super(message);
  }

  public SourceFormatException(String message, Throwable cause) {
    super(message, cause);
  }
}
