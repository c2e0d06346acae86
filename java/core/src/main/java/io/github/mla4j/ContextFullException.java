package io.github.mla4j;

/** The tokens do not fit into the session's context; the session is as it was before the call. */
public final class ContextFullException extends MlaException {
  private static final long serialVersionUID = 1;

  public ContextFullException(String message) {
    super(Status.CONTEXT_FULL, message);
  }
}
