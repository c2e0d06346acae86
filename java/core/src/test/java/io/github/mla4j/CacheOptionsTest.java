package io.github.mla4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.mla4j.bindings.MlaCacheOptions;
import java.util.Optional;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class CacheOptionsTest {
  @Test
  void aTypeAlone() {
    assertEquals(CacheOptions.of(CacheType.INT8), CacheOptions.parse("INT8"));
  }

  @Test
  void partByPart() {
    assertEquals(
        new CacheOptions(
            Optional.of(CacheType.INT4),
            Optional.of(CacheType.F16),
            OptionalInt.of(64),
            OptionalInt.of(0),
            OptionalInt.of(4)),
        CacheOptions.parse("latent=int4, rope=f16,group=64,residual=0,sink=4"));
    assertEquals(OptionalInt.of(256), CacheOptions.parse("residual=256").residual());
  }

  @ParameterizedTest
  @CsvSource({
    "f16, f16",
    "INT4, int4",
    "'latent=int2,rope=BF16', 'latent=int2,rope=bf16'",
    "latent=int2, int2",
    "'sink=0, latent=int4', 'latent=int4,sink=0'",
    "residual=256, residual=256",
    "'latent=int4,rope=f16,group=64,residual=0,sink=4', 'latent=int4,rope=f16,group=64,residual=0,sink=4'"
  })
  void asText(String text, String expected) {
    CacheOptions options = CacheOptions.parse(text);
    assertEquals(expected, options.toString());
    assertEquals(options, CacheOptions.parse(expected));
  }

  @Test
  void theDefaultAsText() {
    assertEquals("f16", CacheOptions.defaults().toString());
  }

  @ParameterizedTest
  @CsvSource({
    "int5, int5",
    "latent=int5, int5",
    "group=33, 33",
    "group=x, x",
    "speed=1, speed",
    "'latent=int8,rope', rope",
    "residual=-2, -2"
  })
  void whatIsWrongIsNamed(String text, String named) {
    String message =
        assertThrows(IllegalArgumentException.class, () -> CacheOptions.parse(text)).getMessage();
    assertTrue(message.contains(named) && message.contains("expected"), message);
  }

  @Test
  void noneIsNotTheDefault() {
    try (MlaCacheOptions none = new MlaCacheOptions()) {
      CacheOptions.parse("latent=int2,residual=0,sink=7").writeTo(none);
      assertEquals(5, none.latent());
      assertEquals(0, none.rope());
      assertEquals(-1, none.residual());
      assertEquals(7, none.sink());
      assertEquals(none.sizeof(), none.struct_size());
    }
  }
}
