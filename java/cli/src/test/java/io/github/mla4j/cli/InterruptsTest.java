package io.github.mla4j.cli;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

final class InterruptsTest {
  @Test
  void theFirstInterruptStopsWhatGoesOnAndTheProcessLives() throws Exception {
    assumeFalse(
        ignored(), "Ctrl-C is ignored, as a shell has it for what it runs in the background");
    Semaphore stopped = new Semaphore(0);
    try (Interrupts interrupts = Interrupts.stopping(stopped::release)) {
      for (int time = 0; time < 2; time++) {
        interrupts.arm();
        assertFalse(interrupts.happened());
        interrupt();
        assertTrue(stopped.tryAcquire(10, TimeUnit.SECONDS));
        assertTrue(interrupts.happened());
      }
    }
  }

  /** Whether the process was started with SIGINT ignored: then the JVM leaves it so. */
  private static boolean ignored() throws IOException {
    Path status = Path.of("/proc/self/status");
    return Files.exists(status)
        && Files.readAllLines(status).stream()
            .filter(line -> line.startsWith("SigIgn:"))
            .mapToLong(line -> Long.parseUnsignedLong(line.substring(7).strip(), 16))
            .anyMatch(mask -> (mask & 1L << 2 - 1) != 0);
  }

  /** As Ctrl-C does. */
  private static void interrupt() throws ReflectiveOperationException {
    Class<?> signal = Class.forName("sun.misc.Signal");
    signal
        .getMethod("raise", signal)
        .invoke(null, signal.getConstructor(String.class).newInstance("INT"));
  }
}
