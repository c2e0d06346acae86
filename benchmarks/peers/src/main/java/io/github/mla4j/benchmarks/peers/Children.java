package io.github.mla4j.benchmarks.peers;

import java.io.IOException;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/** Processes that end when this one does, Ctrl-C included, with all that they started. */
final class Children {
  private final Set<Process> running = ConcurrentHashMap.newKeySet();
  private volatile boolean ending;

  Children() {
    Runtime.getRuntime().addShutdownHook(new Thread(this::endAll));
  }

  Process start(ProcessBuilder builder) throws IOException {
    Process process = builder.start();
    running.add(process);
    if (ending) {
      end(process);
    }
    return process;
  }

  /** Waits for its exit status. */
  int waitFor(Process process) {
    try {
      return process.waitFor();
    } catch (InterruptedException e) {
      end(process);
      throw new IllegalStateException("nobody interrupts this thread", e);
    } finally {
      running.remove(process);
    }
  }

  static void end(Process process) {
    process.descendants().forEach(ProcessHandle::destroyForcibly);
    process.destroyForcibly();
  }

  private void endAll() {
    ending = true;
    running.forEach(Children::end);
  }
}
