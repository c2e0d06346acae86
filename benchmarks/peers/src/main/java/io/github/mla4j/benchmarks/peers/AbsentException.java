package io.github.mla4j.benchmarks.peers;

/** A peer cannot be had or cannot do what it was asked for; the message says why. */
final class AbsentException extends Exception {
  private static final long serialVersionUID = 1;

  AbsentException(String message) {
    super(message);
  }
}
