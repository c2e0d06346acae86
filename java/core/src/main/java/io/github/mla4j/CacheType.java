package io.github.mla4j;

import java.util.Arrays;
import java.util.Locale;
import java.util.stream.Collectors;

/** How the cache keeps a number; the codes are the C API's {@code MLA_CACHE_*}. */
public enum CacheType {
  F32(1),
  /** The default. */
  F16(2),
  INT8(3),
  INT4(4),
  INT2(5),
  /** As many bytes as {@link #F16}, with the range of {@link #F32} and fewer digits. */
  BF16(6);

  private final int code;

  CacheType(int code) {
    this.code = code;
  }

  int code() {
    return code;
  }

  /** The type's name as options spell it, e.g. {@code int8}. */
  public String label() {
    return name().toLowerCase(Locale.ROOT);
  }

  /**
   * The type of this name, in any case.
   *
   * @throws IllegalArgumentException if there is none; the message lists the names
   */
  public static CacheType of(String name) {
    for (CacheType type : values()) {
      if (type.name().equalsIgnoreCase(name.trim())) {
        return type;
      }
    }
    throw new IllegalArgumentException(
        "unknown cache type \"" + name + "\", expected one of " + labels());
  }

  static String labels() {
    return Arrays.stream(values()).map(CacheType::label).collect(Collectors.joining(", "));
  }
}
