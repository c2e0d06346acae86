package io.github.mla4j.eval;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** What this process has resident: Java's heap, the cache, and of mapped files what was read. */
public final class ProcessMemory {
  private ProcessMemory() {}

  /** From now on {@link #peakBytes} begins anew, where the system allows that. */
  public static void forgetPeak() {
    try {
      Files.writeString(Path.of("/proc/self/clear_refs"), "5");
    } catch (IOException e) {
      // Then it is the peak since the process began, which is what the number says elsewhere.
    }
  }

  /** The most that was resident, in bytes; 0 where the system does not tell. */
  public static long peakBytes() {
    return ProcFile.field(Path.of("/proc/self/status"), "VmHWM")
        .map(text -> Long.parseLong(text.replaceAll("\\D", "")) * 1024)
        .orElse(0L);
  }
}
