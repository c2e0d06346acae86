package io.github.mla4j.eval;

import io.github.mla4j.Device;
import io.github.mla4j.Gpu;
import io.github.mla4j.Mla;
import io.github.mla4j.SystemInfo;
import java.nio.file.Path;
import java.util.Optional;

/**
 * Where something was measured.
 *
 * @param cpu the processor's own name for itself, or its architecture
 * @param cores that the process may use
 * @param isa the instruction set in use, or the GPU
 * @param version of mla
 */
public record Machine(String cpu, int cores, String isa, String os, String java, String version) {

  /** This machine's CPU. */
  public static Machine here(String version) {
    return here(version, Device.CPU);
  }

  /**
   * This machine.
   *
   * @param device that computes
   */
  public static Machine here(String version, Device device) {
    SystemInfo info = Mla.systemInfo();
    return new Machine(
        ProcFile.field(Path.of("/proc/cpuinfo"), "model name")
            .orElse(System.getProperty("os.arch")),
        info.cores(),
        gpu(info, device).map(Gpu::model).orElse(info.isa()),
        System.getProperty("os.name") + " " + System.getProperty("os.version"),
        Runtime.version() + ", " + System.getProperty("java.vendor"),
        version);
  }

  private static Optional<Gpu> gpu(SystemInfo info, Device device) {
    return info.gpus().stream()
        .filter(gpu -> gpu.problem().isEmpty())
        .filter(gpu -> device.equals(Device.AUTO) || device.equals(gpu.device()))
        .findFirst();
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
