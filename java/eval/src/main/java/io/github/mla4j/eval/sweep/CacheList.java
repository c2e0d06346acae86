package io.github.mla4j.eval.sweep;

import io.github.mla4j.CacheOptions;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Several caches in one text. */
public final class CacheList {
  private CacheList() {}

  /**
   * Reads a list. Entries are parted by {@code ;}; plain types by commas as well, which within
   * {@code latent=int4,rope=int8} part the entry's own options. What comes twice is taken once. The
   * keys are the caches as text.
   *
   * @throws IllegalArgumentException naming what is wrong and what was expected
   */
  public static Map<String, CacheOptions> parse(List<String> texts) {
    Map<String, CacheOptions> caches = new LinkedHashMap<>();
    for (String text : texts) {
      for (String entry : text.split(";", -1)) {
        String[] entries = entry.indexOf('=') < 0 ? entry.split(",", -1) : new String[] {entry};
        for (String one : entries) {
          CacheOptions cache = CacheOptions.parse(one.strip());
          caches.put(cache.toString(), cache);
        }
      }
    }
    return caches;
  }
}
