package io.github.mla4j.convert.heal;

import java.util.Locale;

/** Constants as options and files spell them. */
final class Labels {
  private Labels() {}

  static String of(Enum<?> constant) {
    return constant.name().toLowerCase(Locale.ROOT);
  }
}
