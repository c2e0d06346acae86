package io.github.mla4j.tokenizer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.util.Random;
import org.junit.jupiter.api.Test;

class IncrementalDecoderTest {
  @Test
  void aCharacterComesWhole() {
    IncrementalDecoder decoder = new IncrementalDecoder();
    byte[] llama = "\uD83E\uDD99".getBytes(StandardCharsets.UTF_8);
    for (int i = 0; i < 3; i++) {
      decoder.accept(llama[i]);
      assertEquals("", decoder.take());
      assertTrue(decoder.isIncomplete());
    }
    decoder.accept(llama[3]);
    assertFalse(decoder.isIncomplete());
    assertEquals("\uD83E\uDD99", decoder.take());
    assertEquals("", decoder.take());
  }

  @Test
  void anUnfinishedCharacterIsReplacedAtTheEnd() {
    IncrementalDecoder decoder = new IncrementalDecoder();
    decoder.accept((byte) 0xE2);
    decoder.accept((byte) 0x82);
    decoder.finish();
    decoder.finish();
    assertEquals("\uFFFD", decoder.take());
  }

  @Test
  void whatIsNoCharacterIsReplacedByItsMaximalParts() { // Java replaces surrogates as a whole
    IncrementalDecoder decoder = new IncrementalDecoder();
    for (int b : new int[] {0xED, 0xA0, 0x80, 'x', 0xF4, 0x90}) {
      decoder.accept((byte) b);
    }
    assertEquals("\uFFFD\uFFFD\uFFFDx\uFFFD\uFFFD", decoder.take());
  }

  @Test
  void anyBytesDecodeAsJavaDecodesThem() {
    Random random = new Random(1);
    int[] likely = {
      0x41, 0x80, 0xBF, 0xC1, 0xC3, 0xE0, 0xE2, 0xA0, 0x9F, 0xF0, 0x90, 0xF4, 0x8F, 0xF5
    };
    for (int round = 0; round < 20_000; round++) {
      byte[] bytes = new byte[random.nextInt(12)];
      IncrementalDecoder decoder = new IncrementalDecoder();
      for (int i = 0; i < bytes.length; i++) {
        bytes[i] = (byte) likely[random.nextInt(likely.length)];
        decoder.accept(bytes[i]);
      }
      decoder.finish();
      assertEquals(new String(bytes, StandardCharsets.UTF_8), decoder.take());
    }
  }
}
