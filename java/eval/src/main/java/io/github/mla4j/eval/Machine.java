package io.github.mla4j.eval;

import io.github.mla4j.Mla;
import io.github.mla4j.SystemInfo;
import java.nio.file.Path;
import java.util.Optional;

/**
 * Where something was measured.
 *
 * @param cpu the processor's own name for itself, or its architecture
 * @param cores that the process may use
 * @param isa the instruction set in use
 * @param version of mla
 */
public record Machine(String cpu, int cores, String isa, String os, String java, String version) {

  /** This machine. */
  public static Machine here(String version) {
    SystemInfo info = Mla.systemInfo();
    return new Machine(
        ProcFile.field(Path.of("/proc/cpuinfo"), "model name")
            .orElse(System.getProperty("os.arch")),
        info.cores(),
        info.isa(),
        System.getProperty("os.name") + " " + System.getProperty("os.version"),
        Runtime.version() + ", " + System.getProperty("java.vendor"),
        version);
  }

  /** Why speed measured on another machine is not this one's, in words; empty if it is. */
  public Optional<String> speedDifference(Machine earlier) {
    if (!cpu.equals(earlier.cpu) || cores != earlier.cores) {
      return Optional.of(
          "it was %d cores of %s, now it is %d of %s"
              .formatted(earlier.cores, earlier.cpu, cores, cpu));
    }
    return isa.equals(earlier.isa)
        ? Optional.empty()
        : Optional.of("the instruction set was %s, now it is %s".formatted(earlier.isa, isa));
  }
}
