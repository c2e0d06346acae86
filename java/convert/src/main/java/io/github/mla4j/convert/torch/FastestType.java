package io.github.mla4j.convert.torch;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.bytedeco.pytorch.Device;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** The type in which a machine multiplies matrices fastest. */
public final class FastestType {
  /** Without one of these oneDNN multiplies bfloat16 slower than float32. */
  private static final Set<String> BFLOAT16 = Set.of("avx512_bf16", "amx_bf16");

  private static final Path CPU = Path.of("/proc/cpuinfo");

  private FastestType() {}

  /**
   * Bfloat16 on a GPU and on CPUs with instructions for it (half the time of float32 with AVX-512
   * BF16), as far as the system tells; else float32. Asked, not timed: results must not depend on
   * what else the machine is doing.
   */
  public static ScalarType of(Device device) {
    return !device.is_cpu() || cpuHasBfloat16() ? ScalarType.BFloat16 : ScalarType.Float;
  }

  /** Whether this machine's CPU has instructions for bfloat16, as far as the system tells. */
  public static boolean cpuHasBfloat16() {
    return hasBfloat16(cpuInfo());
  }

  private static List<String> cpuInfo() {
    try {
      return Files.isReadable(CPU) ? Files.readAllLines(CPU) : List.of();
    } catch (IOException e) {
      return List.of();
    }
  }

  /**
   * @param cpuInfo Linux's description of its processors, "name : value" a line
   */
  static boolean hasBfloat16(List<String> cpuInfo) {
    return cpuInfo.stream()
        .filter(line -> line.startsWith("flags"))
        .flatMap(line -> Stream.of(line.split("\\s+")))
        .anyMatch(BFLOAT16::contains);
  }
}
