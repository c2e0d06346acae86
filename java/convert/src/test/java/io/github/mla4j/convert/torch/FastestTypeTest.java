package io.github.mla4j.convert.torch;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;

class FastestTypeTest {
  @Test
  void asksTheProcessorsFlags() {
    assertTrue(has("model name\t: any", "flags\t\t: fpu avx512f avx512_bf16 clzero"));
    assertTrue(has("flags\t\t: fpu amx_bf16"));
    assertFalse(has("flags\t\t: fpu avx512f avx512_vnni"));
    assertFalse(has("bugs\t\t: avx512_bf16"));
    assertFalse(has());
  }

  private static boolean has(String... lines) {
    return FastestType.hasBfloat16(List.of(lines));
  }
}
