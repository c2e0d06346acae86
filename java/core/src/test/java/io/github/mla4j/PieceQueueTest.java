package io.github.mla4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.mla4j.gguf.Gguf;
import io.github.mla4j.gguf.GgufWriter;
import io.github.mla4j.tokenizer.Tokenizer;
import io.github.mla4j.tokenizer.Vocabulary;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

class PieceQueueTest {
  /** Token i is the byte i. */
  private static Tokenizer bytes;

  @BeforeAll
  static void tokenOfEachByte() {
    List<String> tokens = new ArrayList<>();
    long[] types = new long[256];
    for (int b = 0; b < 256; b++) {
      tokens.add(String.format("<0x%02X>", b));
      types[b] = 6;
    }
    try (GgufWriter writer = GgufWriter.inMemory()) {
      writer
          .set("tokenizer.ggml.model", "llama")
          .set("tokenizer.ggml.tokens", tokens)
          .set("tokenizer.ggml.scores", new float[256])
          .setIntegers("tokenizer.ggml.token_type", io.github.mla4j.gguf.ValueType.I32, types);
      writer.finish();
      try (Gguf gguf = writer.reader()) {
        bytes = new Tokenizer(Vocabulary.read(gguf));
      }
    }
  }

  @AfterAll
  static void close() {
    bytes.close();
  }

  private static List<String> drain(PieceQueue queue) {
    List<String> texts = new ArrayList<>();
    while (queue.hasNext()) {
      texts.add(queue.next().text());
    }
    return texts;
  }

  private static boolean add(PieceQueue queue, String text) {
    boolean stopped = false;
    for (byte b : text.getBytes(StandardCharsets.UTF_8)) {
      assertFalse(stopped);
      stopped = queue.add(b & 0xFF, -1);
    }
    return stopped;
  }

  @Test
  void aCharacterIsTheLastOfItsTokens() {
    PieceQueue queue = new PieceQueue(Optional.of(bytes), List.of());
    add(queue, "a");
    assertEquals(List.of("a"), drain(queue));
    queue.add(0xC3, -1);
    assertEquals(List.of(), drain(queue));
    queue.add(0xA9, -1);
    assertEquals(List.of("", "é"), drain(queue));
    queue.add(0xE2, -1);
    queue.add(0x82, -1);
    assertEquals(List.of(), drain(queue));
    queue.finish();
    assertEquals(List.of("", "\uFFFD"), drain(queue));
  }

  @Test
  void theBeginningOfAStopTextWaits() {
    PieceQueue queue = new PieceQueue(Optional.of(bytes), List.of("END"));
    assertFalse(add(queue, "aEN"));
    assertEquals(List.of("a"), drain(queue));
    assertFalse(add(queue, "x"));
    assertEquals(List.of("E", "N", "x"), drain(queue));
    assertFalse(add(queue, "EEN"));
    assertEquals(List.of("E"), drain(queue));
    assertTrue(add(queue, "D"));
    assertEquals(List.of(), drain(queue));
  }

  @Test
  void whatWaitsComesAtTheEnd() {
    PieceQueue queue = new PieceQueue(Optional.of(bytes), List.of("END"));
    add(queue, "EN");
    assertFalse(queue.hasNext());
    queue.finish();
    Token first = queue.next();
    assertEquals(new Token('E', "E", -1), first);
    assertEquals(List.of("N"), drain(queue));
  }

  @Test
  void theFirstOfSeveralStopTextsCounts() {
    PieceQueue queue = new PieceQueue(Optional.of(bytes), List.of("bcd", "b"));
    assertTrue(add(queue, "ab"));
    assertEquals(List.of("a"), drain(queue));
  }

  /** Against the definition on the whole text, with random pieces of two letters and an accent. */
  @Test
  void noStopTextEverComesOut() {
    Random random = new Random(1);
    for (int round = 0; round < 3000; round++) {
      List<String> stops = new ArrayList<>();
      for (int i = random.nextInt(3); i >= 0; i--) {
        stops.add(letters(random, 1 + random.nextInt(4)));
      }
      String text = letters(random, random.nextInt(25));
      PieceQueue queue = new PieceQueue(Optional.of(bytes), stops);
      StringBuilder out = new StringBuilder();
      boolean stopped = false;
      int tokens = 0;
      for (byte b : text.getBytes(StandardCharsets.UTF_8)) {
        stopped = queue.add(b & 0xFF, 0);
        tokens++;
        drain(queue).forEach(out::append);
        if (stopped) {
          break;
        }
      }
      if (!stopped) {
        queue.finish();
        drain(queue).forEach(out::append);
      }
      String seen =
          new String(text.getBytes(StandardCharsets.UTF_8), 0, tokens, StandardCharsets.UTF_8);
      int end = seen.length();
      for (String stop : stops) {
        int at = text.indexOf(stop);
        if (at >= 0 && at + stop.length() <= seen.length()) {
          end = Math.min(end, at);
        }
      }
      assertEquals(seen.substring(0, end), out.toString(), text + " " + stops);
      assertEquals(stops.stream().anyMatch(text::contains), stopped, text + " " + stops);
    }
  }

  private static String letters(Random random, int length) {
    StringBuilder text = new StringBuilder();
    for (int i = 0; i < length; i++) {
      text.append("abé".charAt(random.nextInt(3)));
    }
    return text.toString();
  }
}
