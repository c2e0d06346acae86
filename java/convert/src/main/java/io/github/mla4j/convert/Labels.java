package io.github.mla4j.convert;

import java.util.Arrays;
import java.util.function.Function;
import java.util.stream.Collectors;

/** Enum constants by their printed names. */
final class Labels {
  private Labels() {}

  static <T> T find(T[] values, Function<T, String> label, String wanted, String what) {
    return Arrays.stream(values)
        .filter(value -> label.apply(value).equals(wanted))
        .findFirst()
        .orElseThrow(
            () ->
                new IllegalArgumentException(
                    "unknown %s '%s': expected one of %s"
                        .formatted(
                            what,
                            wanted,
                            Arrays.stream(values).map(label).collect(Collectors.joining(", ")))));
  }
}
