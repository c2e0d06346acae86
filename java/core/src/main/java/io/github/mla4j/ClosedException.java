package io.github.mla4j;

/** The object, or what it belongs to, was closed. */
public final class ClosedException extends MlaException {
  private static final long serialVersionUID = 1;

  public ClosedException(String message) {
    super(Status.CLOSED, message);
  }
}
