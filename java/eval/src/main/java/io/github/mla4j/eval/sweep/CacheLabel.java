package io.github.mla4j.eval.sweep;

import io.github.mla4j.CacheOptions;
import io.github.mla4j.CacheType;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Cache options as text, the same for the same options, however they were spelled. */
public final class CacheLabel {
  private CacheLabel() {}

  /** {@code int4}, or {@code latent=int4,residual=0} where more than the type is told. */
  public static String of(CacheOptions cache) {
    if (cache.equals(CacheOptions.defaults())) {
      return CacheType.F16.label();
    }
    if (cache.latent().isPresent() && cache.equals(CacheOptions.of(cache.latent().get()))) {
      return cache.latent().get().label();
    }
    List<String> parts = new ArrayList<>();
    cache.latent().ifPresent(type -> parts.add("latent=" + type.label()));
    cache.rope().ifPresent(type -> parts.add("rope=" + type.label()));
    cache.group().ifPresent(count -> parts.add("group=" + count));
    cache.residual().ifPresent(count -> parts.add("residual=" + count));
    cache.sink().ifPresent(count -> parts.add("sink=" + count));
    return String.join(",", parts);
  }

  /**
   * Reads a list. Entries are parted by {@code ;}; plain types by commas as well, which within
   * {@code latent=int4,rope=int8} part the entry's own options. What comes twice is taken once.
   *
   * @throws IllegalArgumentException naming what is wrong and what was expected
   */
  public static Map<String, CacheOptions> parseList(List<String> texts) {
    Map<String, CacheOptions> caches = new LinkedHashMap<>();
    for (String text : texts) {
      for (String entry : text.split(";", -1)) {
        String[] entries = entry.indexOf('=') < 0 ? entry.split(",", -1) : new String[] {entry};
        for (String one : entries) {
          CacheOptions cache = CacheOptions.parse(one.strip());
          caches.put(of(cache), cache);
        }
      }
    }
    return caches;
  }
}
