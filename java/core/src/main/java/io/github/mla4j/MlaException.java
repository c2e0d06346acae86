package io.github.mla4j;

/**
 * A call failed. The message names the file, tensor, option or value and says what was expected;
 * {@link #status()} is the class of failure. What callers commonly tell apart has a class of its
 * own.
 */
public sealed class MlaException extends RuntimeException
    permits BadFileException, CancelledException, ClosedException, ContextFullException {
  private static final long serialVersionUID = 1;

  private final Status status;

  /** A failure of this kind, in these words. */
  public MlaException(Status status, String message) {
    super(message);
    this.status = status;
  }

  /** The exception for a status: one of the subclasses where there is one. */
  public static MlaException of(Status status, String message) {
    return switch (status) {
      case BAD_FILE -> new BadFileException(message);
      case CANCELLED -> new CancelledException(message);
      case CLOSED -> new ClosedException(message);
      case CONTEXT_FULL -> new ContextFullException(message);
      default -> new MlaException(status, message);
    };
  }

  /** The kind of failure. */
  public Status status() {
    return status;
  }
}
