package io.github.mla4j.eval.sweep;

import io.github.mla4j.Mla;
import io.github.mla4j.SystemInfo;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * Where a sweep was measured.
 *
 * @param cpu the processor's own name for itself, or its architecture
 * @param cores that the process may use
 * @param isa the instruction set in use
 * @param version of mla
 */
public record SweepMachine(
    String cpu, int cores, String isa, String os, String java, String version) {

  /** This machine. */
  public static SweepMachine here(String version) {
    SystemInfo info = Mla.systemInfo();
    return new SweepMachine(
        field(Path.of("/proc/cpuinfo"), "model name").orElse(System.getProperty("os.arch")),
        info.cores(),
        info.isa(),
        System.getProperty("os.name") + " " + System.getProperty("os.version"),
        Runtime.version() + ", " + System.getProperty("java.vendor"),
        version);
  }

  /** Why speed measured on another machine is not this one's, in words; empty if it is. */
  public Optional<String> speedDifference(SweepMachine earlier) {
    if (!cpu.equals(earlier.cpu) || cores != earlier.cores) {
      return Optional.of(
          "it was %d cores of %s, now it is %d of %s"
              .formatted(earlier.cores, earlier.cpu, cores, cpu));
    }
    return isa.equals(earlier.isa)
        ? Optional.empty()
        : Optional.of("the instruction set was %s, now it is %s".formatted(earlier.isa, isa));
  }

  /** From now on {@link #peakBytes} begins anew, where the system allows that. */
  public static void forgetPeak() {
    try {
      Files.writeString(Path.of("/proc/self/clear_refs"), "5");
    } catch (IOException e) {
      // Then it is the peak since the process began, which is what the number says elsewhere.
    }
  }

  /** The most memory that this process had resident, in bytes; 0 where the system does not tell. */
  public static long peakBytes() {
    return field(Path.of("/proc/self/status"), "VmHWM")
        .map(text -> Long.parseLong(text.replaceAll("\\D", "")) * 1024)
        .orElse(0L);
  }

  private static Optional<String> field(Path file, String name) {
    try (Stream<String> lines = Files.lines(file)) {
      return lines
          .filter(line -> line.startsWith(name))
          .map(line -> line.substring(line.indexOf(':') + 1).strip())
          .filter(text -> !text.isEmpty())
          .findFirst();
    } catch (IOException e) {
      return Optional.empty();
    }
  }
}
