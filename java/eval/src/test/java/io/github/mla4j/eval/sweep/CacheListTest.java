package io.github.mla4j.eval.sweep;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.mla4j.CacheOptions;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

final class CacheListTest {
  @Test
  void commasPartTypesAndOptionsAlike() {
    Map<String, CacheOptions> caches =
        CacheList.parse(
            List.of(
                "f16,INT8; latent=int4, rope=int8,residual=0", "int2", "residual=0,latent=int4"));
    assertEquals(
        List.of(
            "f16", "int8", "latent=int4,rope=int8,residual=0", "int2", "latent=int4,residual=0"),
        List.copyOf(caches.keySet()));
    caches.forEach((label, cache) -> assertEquals(cache, CacheOptions.parse(label)));
  }

  @Test
  void whatComesTwiceIsTakenOnce() {
    assertEquals(1, CacheList.parse(List.of("int4,int4;latent=int4", "int4")).size());
  }

  @Test
  void whatIsNoCacheIsRefused() {
    for (String wrong : List.of("int3", "f16,", "f16;;int8", "latent=int3", "latent=int4,rope")) {
      Exception error =
          assertThrows(
              IllegalArgumentException.class, () -> CacheList.parse(List.of(wrong)), wrong);
      assertTrue(error.getMessage().contains("expected"), error.getMessage());
    }
  }
}
