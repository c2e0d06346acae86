package io.github.mla4j;

import static io.github.mla4j.bindings.global.mla.mla_measure_roofline;
import static io.github.mla4j.bindings.global.mla.mla_set_log_callback;
import static io.github.mla4j.bindings.global.mla.mla_system_info;
import static io.github.mla4j.bindings.global.mla.mla_version;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.github.mla4j.bindings.MlaLogCallback;
import io.github.mla4j.bindings.MlaRoofline;
import io.github.mla4j.internal.Native;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.BiConsumer;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Pointer;

/** The native library as a whole. Any thread. */
public final class Mla {
  /** How much a message matters; the order is the C API's {@code MLA_LOG_*}. */
  public enum LogLevel {
    DEBUG,
    INFO,
    WARNING
  }

  // Kept reachable while the library may call it.
  private static Optional<LogBridge> logBridge = Optional.empty();

  private Mla() {}

  /** The native library's version. */
  public static String version() {
    return mla_version().getString(StandardCharsets.UTF_8);
  }

  /** What the library found on this machine and chose. */
  public static SystemInfo systemInfo() {
    String json =
        Native.text(1024, (text, capacity, length) -> mla_system_info(text, capacity, length));
    try {
      JsonNode info = new ObjectMapper().readTree(json);
      return new SystemInfo(
          info.path("version").asText(),
          info.path("isa").asText(),
          info.path("isa_reason").asText(),
          strings(info.path("isas")),
          info.path("cores").asInt(),
          info.path("threads").asInt(),
          info.path("memory_nodes").asInt(),
          info.path("memory_nodes_reason").asText(),
          strings(info.path("backends")),
          gpus(info.path("gpus")),
          info.path("gpu_reason").asText(),
          json);
    } catch (JsonProcessingException e) {
      throw new MlaException(Status.INTERNAL, "system info is not JSON: " + json);
    }
  }

  private static List<Gpu> gpus(JsonNode array) {
    List<Gpu> gpus = new ArrayList<>();
    for (JsonNode gpu : array) {
      gpus.add(
          new Gpu(
              Device.parse(gpu.path("name").asText()),
              gpu.path("model").asText(),
              gpu.path("capability").asText(),
              gpu.path("memory_bytes").asLong(),
              gpu.path("problem").asText()));
    }
    return List.copyOf(gpus);
  }

  /**
   * Measures what this machine gives at most: the best of many short runs. Takes about a second and
   * 256 MiB, or more where a cache is large.
   *
   * @param threads that take part, at least 1; fewer do where the system refuses them
   */
  public static Roofline measureRoofline(int threads) {
    if (threads < 1) {
      throw new IllegalArgumentException("threads is " + threads + ", expected 1 or more");
    }
    try (MlaRoofline measured = new MlaRoofline()) {
      measured.struct_size(measured.sizeof());
      Native.check(mla_measure_roofline(threads, measured));
      return new Roofline(
          measured.threads(),
          measured.bytes_per_second(),
          measured.float_multiply_adds_per_second(),
          measured.integer_multiply_adds_per_second());
    }
  }

  /** Where the library's messages go, from any thread; it is silent by default. */
  public static synchronized void setLogger(BiConsumer<LogLevel, String> logger) {
    replaceBridge(Optional.of(new LogBridge(logger)));
  }

  /** Silence. */
  public static synchronized void removeLogger() {
    replaceBridge(Optional.empty());
  }

  private static void replaceBridge(Optional<LogBridge> bridge) {
    Native.check(mla_set_log_callback(bridge.orElse(null), (Pointer) null));
    logBridge.ifPresent(Pointer::close); // the library has stopped calling it
    logBridge = bridge;
  }

  private static List<String> strings(JsonNode array) {
    List<String> strings = new ArrayList<>();
    array.forEach(element -> strings.add(element.asText()));
    return List.copyOf(strings);
  }

  private static final class LogBridge extends MlaLogCallback {
    private static final LogLevel[] LEVELS = LogLevel.values();
    private final BiConsumer<LogLevel, String> logger;

    LogBridge(BiConsumer<LogLevel, String> logger) {
      this.logger = logger;
    }

    @Override
    public void call(int level, BytePointer message, Pointer user) {
      LogLevel known = LEVELS[Math.max(0, Math.min(level, LEVELS.length - 1))];
      logger.accept(known, message.getString(StandardCharsets.UTF_8));
    }
  }
}
