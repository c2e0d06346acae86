package io.github.mla4j;

import io.github.mla4j.bindings.MlaBatchOptions;
import org.bytedeco.javacpp.Pointer;

/** What {@link Model#newBatch} may be told; everything has a default. Not thread-safe. */
public final class BatchOptions {
  private int maxSessions = 16;
  private int threads;

  BatchOptions() {}

  /** Sessions that a step computes at most, up to 1024; 16 by default. Memory grows with it. */
  public BatchOptions maxSessions(int count) {
    maxSessions = Require.positive("maxSessions", count);
    return this;
  }

  /** Threads that compute a step; all cores by default. Those of the sessions do not matter. */
  public BatchOptions threads(int count) {
    threads = Require.positive("threads", count);
    return this;
  }

  int maxSessions() {
    return maxSessions;
  }

  MlaBatchOptions toNative() {
    MlaBatchOptions options = new MlaBatchOptions();
    Pointer.memset(options, 0, options.sizeof());
    return options.struct_size(options.sizeof()).max_sessions(maxSessions).threads(threads);
  }
}
