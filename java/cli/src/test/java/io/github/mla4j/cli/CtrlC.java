package io.github.mla4j.cli;

import static org.junit.jupiter.api.Assumptions.assumeFalse;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** The key, pressed by a test. */
final class CtrlC {
  private CtrlC() {}

  /** Skips the test where the process was started with SIGINT ignored: the JVM leaves it so. */
  static void assumeHeard() throws IOException {
    assumeFalse(
        ignored(), "Ctrl-C is ignored, as a shell has it for what it runs in the background");
  }

  private static boolean ignored() throws IOException {
    Path status = Path.of("/proc/self/status");
    return Files.exists(status)
        && Files.readAllLines(status).stream()
            .filter(line -> line.startsWith("SigIgn:"))
            .mapToLong(line -> Long.parseUnsignedLong(line.substring(7).strip(), 16))
            .anyMatch(mask -> (mask & 1L << 2 - 1) != 0);
  }

  static void press() throws ReflectiveOperationException {
    Class<?> signal = Class.forName("sun.misc.Signal");
    signal
        .getMethod("raise", signal)
        .invoke(null, signal.getConstructor(String.class).newInstance("INT"));
  }
}
