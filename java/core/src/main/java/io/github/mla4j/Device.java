package io.github.mla4j;

import static io.github.mla4j.bindings.global.mla.MLA_DEVICE_AUTO;
import static io.github.mla4j.bindings.global.mla.MLA_DEVICE_CPU;
import static io.github.mla4j.bindings.global.mla.MLA_DEVICE_CUDA;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What a session computes on. */
public final class Device {
  private static final Pattern CUDA = Pattern.compile("cuda(?::(\\d{1,4}))?");

  /** The CPU. */
  public static final Device CPU = new Device("cpu", MLA_DEVICE_CPU);

  /** The first GPU that takes the model, or else the CPU; the log says why. */
  public static final Device AUTO = new Device("auto", MLA_DEVICE_AUTO);

  private final String label;
  private final int code;

  private Device(String label, int code) {
    this.label = label;
    this.code = code;
  }

  /**
   * A GPU by its number, from 0, as {@link Mla#systemInfo} lists them.
   *
   * @throws IllegalArgumentException for a negative number
   */
  public static Device cuda(int number) {
    if (number < 0) {
      throw new IllegalArgumentException("device is cuda:" + number + ", expected cuda:0 or more");
    }
    return new Device("cuda:" + number, MLA_DEVICE_CUDA + number);
  }

  /**
   * Reads {@code cpu}, {@code cuda} (the first), {@code cuda:N} or {@code auto}.
   *
   * @throws IllegalArgumentException saying what was expected
   */
  public static Device parse(String text) {
    Matcher cuda = CUDA.matcher(text);
    if (cuda.matches()) {
      return cuda(cuda.group(1) == null ? 0 : Integer.parseInt(cuda.group(1)));
    }
    return switch (text) {
      case "cpu" -> CPU;
      case "auto" -> AUTO;
      default ->
          throw new IllegalArgumentException(
              "device is '" + text + "', expected cpu, cuda, cuda:N or auto");
    };
  }

  /** As {@link #parse} reads it. */
  public String label() {
    return label;
  }

  int code() {
    return code;
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Device device && device.code == code;
  }

  @Override
  public int hashCode() {
    return Integer.hashCode(code);
  }

  @Override
  public String toString() {
    return label;
  }
}
