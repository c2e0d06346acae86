package io.github.mla4j.convert.heal;

import java.util.Locale;

/** What healing computes on. */
public enum HealDevice {
  CPU,
  CUDA;

  String torchName() {
    return name().toLowerCase(Locale.ROOT);
  }
}
