package io.github.mla4j;

/** The call was stopped by {@link Session#cancel()}; the session is as it was before the call. */
public final class CancelledException extends MlaException {
  private static final long serialVersionUID = 1;

  public CancelledException(String message) {
    super(Status.CANCELLED, message);
  }
}
