package io.github.mla4j.tokenizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.github.mla4j.ClosedException;
import io.github.mla4j.MlaException;
import io.github.mla4j.SharedFiles;
import io.github.mla4j.Status;
import io.github.mla4j.gguf.Gguf;
import io.github.mla4j.gguf.GgufWriter;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class TokenizerTest {
  private static Tokenizer load(Path file) {
    try (Gguf gguf = Gguf.open(file)) {
      return new Tokenizer(Vocabulary.read(gguf));
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"llama-spm", "gpt-2"})
  void idsAreThoseOfTheVocabularyFixtures(String name) throws IOException {
    Path file = SharedFiles.find("fixtures/vocab/ggml-vocab-" + name + ".gguf");
    String separator = "\n__ggml_vocab_test__\n"; // ends the last text, too
    String inputs = Files.readString(Path.of(file + ".inp"));
    assertTrue(inputs.endsWith(separator));
    String[] texts = inputs.substring(0, inputs.length() - separator.length()).split(separator, -1);
    List<String> lines = Files.readAllLines(Path.of(file + ".out"));
    assertEquals(lines.size(), texts.length);
    try (Tokenizer tokenizer = load(file)) {
      for (int i = 0; i < texts.length; i++) {
        int[] expected =
            Arrays.stream(lines.get(i).trim().split(" +"))
                .filter(s -> !s.isEmpty())
                .mapToInt(Integer::parseInt)
                .toArray();
        String text = texts[i];
        int[] ids = tokenizer.encode(text, false, false);
        assertArrayEquals(expected, ids, () -> "text: " + text);
        assertEquals(text, tokenizer.decode(ids));
      }
    }
  }

  @Test
  void idsAreThoseOfSmolLm2() throws IOException {
    Path expected = SharedFiles.find("fixtures/smollm2/expected.json");
    JsonNode cases = new ObjectMapper().readTree(expected.toFile()).get("tokenize");
    try (Tokenizer tokenizer = load(SharedFiles.smollm2())) {
      for (JsonNode one : cases) {
        String text = one.get("text").asText();
        int[] ids =
            IntStream.range(0, one.get("ids").size())
                .map(i -> one.get("ids").get(i).asInt())
                .toArray();
        assertArrayEquals(ids, tokenizer.encode(text), () -> "text: " + text);
      }
      assertTrue(tokenizer.isEndOfGeneration(2));
      assertFalse(tokenizer.isEndOfGeneration(1));
      assertEquals("", tokenizer.decode(1, 2));
      // Untrusted text cannot spell control tokens, but decodes to itself.
      int[] untrusted = tokenizer.encode("<|im_end|>", false, false);
      assertTrue(untrusted.length > 1);
      assertEquals("<|im_end|>", tokenizer.decode(untrusted));
    }
  }

  @Test
  void bosAndPrefixAsTheVocabularySays() {
    try (Tokenizer tokenizer = load(SharedFiles.stories())) {
      int[] ids = tokenizer.encode("Once upon a time");
      assertEquals(1, ids[0]);
      assertArrayEquals(
          Arrays.copyOfRange(ids, 1, ids.length),
          tokenizer.encode("Once upon a time", false, true));
      assertEquals("Once upon a time", tokenizer.decode(ids));
      assertArrayEquals(new int[] {1}, tokenizer.encode(""));
      // A text after a special token begins with the prefix again.
      int[] twice = tokenizer.encode("a<s>a", false, true);
      assertEquals(twice[0], twice[2]);
      assertEquals(1, twice[1]);
    }
  }

  /** SentencePiece by its definition, quadratic: join the best-scored pair, leftmost first. */
  private static int[] joinByScore(Vocabulary vocabulary, String text) {
    var ids = new java.util.HashMap<String, Integer>();
    for (int id = 0; id < vocabulary.size(); id++) {
      ids.put(vocabulary.spelling(id), id);
    }
    double[] scores = vocabulary.scores();
    List<String> pieces = new ArrayList<>();
    ("\u2581" + text.replace(' ', '\u2581'))
        .codePoints()
        .forEach(c -> pieces.add(Character.toString(c)));
    while (true) {
      int best = -1;
      for (int i = 0; i + 1 < pieces.size(); i++) {
        Integer joined = ids.get(pieces.get(i) + pieces.get(i + 1));
        if (joined != null
            && (best < 0
                || scores[joined] > scores[ids.get(pieces.get(best) + pieces.get(best + 1))])) {
          best = i;
        }
      }
      if (best < 0) {
        break;
      }
      pieces.set(best, pieces.get(best) + pieces.remove(best + 1));
    }
    return pieces.stream()
        .flatMapToInt(
            piece -> {
              Integer id = ids.get(piece);
              return id != null
                  ? IntStream.of(id)
                  : IntStream.range(0, piece.getBytes(StandardCharsets.UTF_8).length)
                      .map(
                          i ->
                              ids.get(
                                  String.format(
                                      "<0x%02X>",
                                      piece.getBytes(StandardCharsets.UTF_8)[i] & 0xFF)));
            })
        .toArray();
  }

  @ParameterizedTest
  @CsvSource({"models/stories260K.gguf,400", "fixtures/vocab/ggml-vocab-llama-spm.gguf,400"})
  void sentencePieceJoinsByScore(String name, int rounds) {
    Random random = new Random(1);
    String[] parts = {
      "the",
      " ",
      "  ",
      "a",
      "aa",
      "e",
      "ee",
      "in",
      "ing",
      "th",
      "\n",
      "0",
      "00",
      "北",
      "é",
      "\uD83E\uDD99",
      ".",
      "...",
      "s",
      "ss",
      "Once",
      "\u2581",
      "=",
      "==",
      "----",
      "</s>",
      "<0x0A>"
    };
    try (Gguf gguf = Gguf.open(SharedFiles.find(name))) {
      Vocabulary vocabulary = Vocabulary.read(gguf);
      try (Tokenizer tokenizer = new Tokenizer(vocabulary)) {
        for (int round = 0; round < rounds / 20; round++) {
          StringBuilder text = new StringBuilder();
          for (int i = 0; i < 60; i++) {
            text.append(parts[random.nextInt(parts.length)]);
          }
          String s = text.toString();
          assertArrayEquals(
              joinByScore(vocabulary, s), tokenizer.encode(s, false, false), () -> "text: " + s);
        }
      }
    }
  }

  @Test
  void anyStringEncodesAndDecodes() {
    Random random = new Random(2);
    for (Path file :
        List.of(
            SharedFiles.smollm2(), SharedFiles.find("fixtures/vocab/ggml-vocab-llama-spm.gguf"))) {
      try (Tokenizer tokenizer = load(file)) {
        for (int round = 0; round < 50; round++) {
          String text =
              random
                  .ints(random.nextInt(40), 0, 0x2FFFF)
                  .map(c -> random.nextBoolean() ? c % 128 : c)
                  .filter(c -> Character.getType(c) != Character.SURROGATE && c != '\u2581')
                  .filter(c -> c >= ' ') // SmolLM2 has no tokens for some control characters
                  .collect(
                      StringBuilder::new, StringBuilder::appendCodePoint, StringBuilder::append)
                  .toString();
          assertEquals(text, tokenizer.decode(tokenizer.encode(text, false, false)));
        }
        assertEquals(
            "a\uFFFDb\uFFFD", tokenizer.decode(tokenizer.encode("a\uD800b\uDC00", false, false)));
      }
    }
  }

  @Test
  void afterCloseEncodingSaysSo() {
    Tokenizer tokenizer = load(SharedFiles.stories());
    int[] ids = tokenizer.encode("Once");
    tokenizer.close();
    tokenizer.close();
    assertEquals("Once", tokenizer.decode(ids));
    assertThrows(ClosedException.class, () -> tokenizer.encode("Once"));
    assertThrows(IllegalArgumentException.class, () -> tokenizer.decode(512));
  }

  @Test
  void closingWhileAnotherThreadBegins() throws InterruptedException {
    for (int round = 0; round < 40; round++) {
      Tokenizer tokenizer = load(SharedFiles.stories());
      AtomicReference<Throwable> outcome = new AtomicReference<>();
      Thread other =
          new Thread(
              () -> {
                try {
                  assertEquals(1, tokenizer.encode("Once")[0]);
                } catch (Throwable e) {
                  outcome.set(e);
                }
              });
      other.start();
      LockSupport.parkNanos(250_000L * (round % 8));
      tokenizer.close();
      other.join();
      assertTrue(
          outcome.get() == null || outcome.get() instanceof ClosedException,
          () -> "" + outcome.get());
      assertThrows(ClosedException.class, () -> tokenizer.encode("Once"));
    }
  }

  @Test
  void whatIsNotSupportedIsNamed() {
    MlaException none = assertThrows(MlaException.class, () -> build(w -> {}));
    assertEquals(Status.NOT_FOUND, none.status());
    assertTrue(none.getMessage().contains("vocabulary"), none.getMessage());

    MlaException model =
        assertThrows(MlaException.class, () -> build(w -> w.set("tokenizer.ggml.model", "bert")));
    assertEquals(Status.UNSUPPORTED, model.status());
    assertTrue(model.getMessage().contains("bert"), model.getMessage());

    MlaException pre =
        assertThrows(
            MlaException.class,
            () ->
                build(
                    w ->
                        w.set("tokenizer.ggml.model", "gpt2")
                            .set("tokenizer.ggml.pre", "klingon")
                            .set("tokenizer.ggml.tokens", List.of("a", "b"))
                            .set("tokenizer.ggml.merges", List.of())));
    assertEquals(Status.UNSUPPORTED, pre.status());
    assertTrue(pre.getMessage().contains("klingon"), pre.getMessage());
    assertTrue(pre.getMessage().contains("smollm"), pre.getMessage());
  }

  @Test
  void mergesOfWhatIsNoTokenAreLeftOut() {
    List<String> tokens = List.of("a", "b", "c", "ab", "abc");
    assertArrayEquals(new int[] {4, 2}, encode(tokens, List.of("a b", "ab c"), "abcc"));
    for (String wrong : List.of("a x", "x a", "b c", "abc", "", "a b c", " a", "a ")) {
      assertArrayEquals(
          new int[] {4, 2}, encode(tokens, List.of("a b", wrong, "ab c"), "abcc"), wrong);
    }
  }

  @Test
  void tokensWithSpacesMakeNoOther() {
    List<String> tokens = List.of("a", "b", "ab", " a", " ab");
    assertArrayEquals(new int[] {2, 0}, encode(tokens, List.of(" a b", "a b"), "aba"));
  }

  /** The library takes a merge that begins so for a comment. */
  @Test
  void aMergeThatLooksLikeACommentIsOne() {
    List<String> tokens = new ArrayList<>(List.of("#", "v", "e", "r", "s", "i", "o"));
    List<String> merges = new ArrayList<>();
    tokens.add("n");
    String word = "#versions";
    for (int length = 2; length <= word.length(); length++) {
      tokens.add(word.substring(0, length));
      merges.add(word.substring(0, length - 1) + " " + word.charAt(length - 1));
    }
    assertArrayEquals(new int[] {tokens.size() - 1}, encode(tokens, merges, word));
  }

  private static int[] encode(List<String> tokens, List<String> merges, String text) {
    try (GgufWriter writer = GgufWriter.inMemory()) {
      writer
          .set("tokenizer.ggml.model", "gpt2")
          .set("tokenizer.ggml.pre", "qwen2")
          .set("tokenizer.ggml.tokens", tokens)
          .set("tokenizer.ggml.merges", merges)
          .finish();
      try (Gguf gguf = writer.reader();
          Tokenizer tokenizer = new Tokenizer(Vocabulary.read(gguf))) {
        return tokenizer.encode(text);
      }
    }
  }

  private static void build(java.util.function.Consumer<GgufWriter> keys) {
    try (GgufWriter writer = GgufWriter.inMemory()) {
      keys.accept(writer);
      writer.finish();
      try (Gguf gguf = writer.reader()) {
        try (Tokenizer tokenizer = new Tokenizer(Vocabulary.read(gguf))) {
          assertEquals("ab", tokenizer.decode(0, 1)); // that works with any pre-tokenizer
          tokenizer.encode("ab");
        }
      }
    }
  }
}
