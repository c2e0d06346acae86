package io.github.mla4j.internal;

import io.github.mla4j.ClosedException;
import java.lang.ref.Cleaner;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * A handle of the C API and the duty to close it: once, by {@link #close} or, where that was
 * forgotten, when the owner is garbage. Any thread.
 *
 * <p>An owner that passes {@link #value} to a call must stay reachable until the call returns
 * ({@link java.lang.ref.Reference#reachabilityFence}), or the collector may close the handle under
 * it. A handle closed by another thread meanwhile is harmless: the C API answers "closed".
 */
public final class Handle implements AutoCloseable {
  private static final Cleaner CLEANER = Cleaner.create();

  /** Closes a handle natively. */
  @FunctionalInterface
  public interface Closer {
    int close(long handle);
  }

  private final String name;
  private final long value;
  private final Cleaner.Cleanable cleanable;
  private final AtomicBoolean closed = new AtomicBoolean();

  /**
   * @param owner whose garbage collection closes the handle; the closer must not refer to it
   * @param name for errors, e.g. "session"
   */
  public Handle(Object owner, String name, long value, Closer closer) {
    this.name = name;
    this.value = value;
    this.cleanable = CLEANER.register(owner, () -> closer.close(value));
  }

  /** The number to pass on; throws {@link ClosedException} after {@link #close}. */
  public long value() {
    if (closed.get()) {
      throw new ClosedException("the " + name + " is closed");
    }
    return value;
  }

  /** The number to pass on; 0 after {@link #close}, to which the C API answers "closed". */
  public long valueOrZero() {
    return closed.get() ? 0 : value;
  }

  public boolean isClosed() {
    return closed.get();
  }

  @Override
  public void close() {
    closeOnce();
  }

  /** Closes, and says whether this call was the one that did. */
  public boolean closeOnce() {
    boolean first = closed.compareAndSet(false, true);
    cleanable.clean();
    return first;
  }
}
