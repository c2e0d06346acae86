package io.github.mla4j;

import io.github.mla4j.bindings.MlaCacheOptions;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.StringJoiner;

/**
 * How a session keeps its cache. What is empty has the library's default, which follows from the
 * latent's type. Immutable.
 *
 * @param latent type of the latent (of a plain model: the values)
 * @param rope type of the rotary keys
 * @param group elements that share a scale, 32 or 64
 * @param residual how many of the newest tokens stay f16; 0: none
 * @param sink how many of the first tokens stay f16; 0: none
 */
public record CacheOptions(
    Optional<CacheType> latent,
    Optional<CacheType> rope,
    OptionalInt group,
    OptionalInt residual,
    OptionalInt sink) {

  public CacheOptions {
    group.ifPresent(
        value -> {
          if (value != 32 && value != 64) {
            throw new IllegalArgumentException("cache group is " + value + ", expected 32 or 64");
          }
        });
    residual.ifPresent(value -> requireNotNegative("residual", value));
    sink.ifPresent(value -> requireNotNegative("sink", value));
  }

  /** All defaults. */
  public static CacheOptions defaults() {
    return new CacheOptions(
        Optional.empty(),
        Optional.empty(),
        OptionalInt.empty(),
        OptionalInt.empty(),
        OptionalInt.empty());
  }

  /** The latent in this type, the rest as it follows from it. */
  public static CacheOptions of(CacheType latent) {
    CacheOptions all = defaults();
    return new CacheOptions(Optional.of(latent), all.rope, all.group, all.residual, all.sink);
  }

  /**
   * Reads {@code int4}, or {@code latent=int8,rope=int8,group=32,residual=0,sink=0} with any of the
   * parts.
   *
   * @throws IllegalArgumentException naming the part that is wrong and what was expected
   */
  public static CacheOptions parse(String text) {
    if (text.indexOf('=') < 0) {
      return of(CacheType.of(text));
    }
    CacheOptions parsed = defaults();
    for (String part : text.split(",", -1)) {
      int equals = part.indexOf('=');
      if (equals < 0) {
        throw new IllegalArgumentException(
            "cache option \"" + part + "\" has no value, expected name=value");
      }
      String name = part.substring(0, equals).trim().toLowerCase(Locale.ROOT);
      parsed = parsed.with(name, part.substring(equals + 1).trim());
    }
    return parsed;
  }

  private CacheOptions with(String name, String value) {
    return switch (name) {
      case "latent" ->
          new CacheOptions(Optional.of(CacheType.of(value)), rope, group, residual, sink);
      case "rope" ->
          new CacheOptions(latent, Optional.of(CacheType.of(value)), group, residual, sink);
      case "group" -> new CacheOptions(latent, rope, number(name, value), residual, sink);
      case "residual" -> new CacheOptions(latent, rope, group, number(name, value), sink);
      case "sink" -> new CacheOptions(latent, rope, group, residual, number(name, value));
      default ->
          throw new IllegalArgumentException(
              "unknown cache option \""
                  + name
                  + "\", expected latent, rope, group, residual or sink");
    };
  }

  private static OptionalInt number(String name, String value) {
    try {
      return OptionalInt.of(Integer.parseInt(value));
    } catch (NumberFormatException e) {
      throw new IllegalArgumentException(
          "cache option " + name + " is \"" + value + "\", expected a number", e);
    }
  }

  private static void requireNotNegative(String name, int value) {
    if (value < 0) {
      throw new IllegalArgumentException(
          "cache option " + name + " is " + value + ", expected 0 or more");
    }
  }

  /**
   * As {@link #parse} reads it, the same for the same options however they were spelled: {@code
   * int4}, or {@code latent=int4,residual=0} where more than the type is told.
   */
  @Override
  public String toString() {
    StringJoiner more = new StringJoiner(",");
    rope.ifPresent(type -> more.add("rope=" + type.label()));
    group.ifPresent(count -> more.add("group=" + count));
    residual.ifPresent(count -> more.add("residual=" + count));
    sink.ifPresent(count -> more.add("sink=" + count));
    if (more.length() == 0) {
      return latent.orElse(CacheType.F16).label();
    }
    return latent.map(type -> "latent=" + type.label() + ",").orElse("") + more;
  }

  /** Fills a native struct; 0 is a default there and -1 stands for none. */
  void writeTo(MlaCacheOptions options) {
    options
        .struct_size(options.sizeof())
        .latent(latent.map(CacheType::code).orElse(0))
        .rope(rope.map(CacheType::code).orElse(0))
        .group(group.orElse(0))
        .residual(noneAsMinusOne(residual))
        .sink(noneAsMinusOne(sink));
  }

  private static int noneAsMinusOne(OptionalInt count) {
    return count.isEmpty() ? 0 : count.getAsInt() == 0 ? -1 : count.getAsInt();
  }
}
