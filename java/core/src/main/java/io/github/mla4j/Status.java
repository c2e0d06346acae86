package io.github.mla4j;

/** Why a call failed; the numbers are the C API's {@code MLA_*} codes. */
public enum Status {
  OK,
  /** A value outside its range. */
  INVALID_ARGUMENT,
  /** No such file, key or tensor. */
  NOT_FOUND,
  /** The operating system failed a read or write. */
  IO,
  /** A truncated, damaged or contradictory file. */
  BAD_FILE,
  /** A valid file or option that this build cannot run. */
  UNSUPPORTED,
  OUT_OF_MEMORY,
  /** The tokens do not fit into the context; nothing was changed. */
  CONTEXT_FULL,
  /** Stopped by a cancel; the session stays usable. */
  CANCELLED,
  /** The object is closed. */
  CLOSED,
  /** A defect of the library. */
  INTERNAL;

  private static final Status[] VALUES = values();

  /** The status of a C API code; an unknown one is a defect. */
  public static Status ofCode(int code) {
    return code >= 0 && code < VALUES.length ? VALUES[code] : INTERNAL;
  }
}
