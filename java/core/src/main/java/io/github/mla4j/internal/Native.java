package io.github.mla4j.internal;

import static io.github.mla4j.bindings.global.mla.MLA_OK;
import static io.github.mla4j.bindings.global.mla.mla_last_error;

import io.github.mla4j.MlaException;
import io.github.mla4j.Status;
import java.nio.charset.StandardCharsets;

/** What every call of the C API needs: its status as an exception, its strings as Java's. */
public final class Native {
  private Native() {}

  /** A call that reports the length that it needs: nothing is written past {@code capacity}. */
  @FunctionalInterface
  public interface TextCall {
    int read(byte[] text, long capacity, long[] length);
  }

  /** Throws the exception of a failed call; must run on the thread that made the call. */
  public static void check(int status) {
    if (status != MLA_OK) {
      throw failure(status);
    }
  }

  /** The exception of a failed call, with the calling thread's last native error as its message. */
  public static MlaException failure(int status) {
    return MlaException.of(
        Status.ofCode(status), mla_last_error().getString(StandardCharsets.UTF_8));
  }

  /** A string of unknown length, in at most two calls. */
  public static String text(int guess, TextCall call) {
    byte[] text = new byte[guess];
    long[] length = new long[1];
    check(call.read(text, text.length, length));
    if (length[0] > text.length) {
      text = new byte[Math.toIntExact(length[0])];
      check(call.read(text, text.length, length));
    }
    return new String(text, 0, Math.toIntExact(length[0]), StandardCharsets.UTF_8);
  }
}
