package io.github.mla4j;

import static io.github.mla4j.bindings.global.mla.MLA_CANCELLED;
import static io.github.mla4j.bindings.global.mla.mla_session_cancel;

/**
 * Runs a session's native calls so that a cancel stops the call it was meant for and no other. The
 * C API keeps a cancel for the next call where none runs; a cancel that crosses its call's end
 * would stop an innocent one later. Here a call that was cancelled by nobody is made again: a
 * cancelled call has changed nothing. Calls are serialized by the session; cancel is for any
 * thread.
 */
final class CancelGate {
  private boolean running;
  private boolean cancelled;

  interface Call {
    int on(long handle);
  }

  /** The call's status. */
  int run(long handle, Call call) {
    begin();
    try {
      return settle(handle, call.on(handle), call);
    } finally {
      end();
    }
  }

  /** A call runs from here to {@link #end}: {@link #run} in parts, for a call of many sessions. */
  synchronized void begin() {
    running = true;
    cancelled = false;
  }

  /** What becomes of the status of the call that runs; {@code again} makes it once more. */
  int settle(long handle, int status, Call again) {
    return status == MLA_CANCELLED && !wasCancelled() ? again.on(handle) : status;
  }

  synchronized void end() {
    running = false;
  }

  /** Stops the running call; where none runs, nothing. */
  synchronized void cancel(long handle) {
    if (running) {
      cancelled = true;
      mla_session_cancel(handle);
    }
  }

  private synchronized boolean wasCancelled() {
    return cancelled;
  }
}
