package io.github.mla4j;

/** A file is truncated, damaged or contradicts itself; the message names it and what is wrong. */
public final class BadFileException extends MlaException {
  private static final long serialVersionUID = 1;

  public BadFileException(String message) {
    super(Status.BAD_FILE, message);
  }
}
