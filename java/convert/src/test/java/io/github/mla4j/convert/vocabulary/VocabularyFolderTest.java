package io.github.mla4j.convert.vocabulary;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.mla4j.BadFileException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class VocabularyFolderTest {
  private static final String BYTE_LEVEL =
      "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":%s}";
  private static final String SPLIT =
      "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"%s\"},"
          + "\"behavior\":\"Isolated\"},"
          + BYTE_LEVEL.formatted(false)
          + "]}";
  private static final String WORDS =
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}%s|"
          + " ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+";

  @TempDir Path folder;

  @Test
  void noTokenizerIsNoError() throws IOException {
    assertEquals(Optional.empty(), VocabularyFolder.read(folder, 8));
  }

  @ParameterizedTest
  @CsvSource({"gpt-2", "smollm", "llama-bpe", "qwen2"})
  void recognizesByteLevelTokenizers(String name) throws IOException {
    String pre =
        switch (name) {
          case "smollm" ->
              "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\","
                  + "\"individual_digits\":true},"
                  + BYTE_LEVEL.formatted(true)
                  + "]}";
          case "llama-bpe" -> SPLIT.formatted(WORDS.formatted("{1,3}"));
          case "qwen2" -> SPLIT.formatted(WORDS.formatted(""));
          default -> BYTE_LEVEL.formatted(true);
        };
    tokenizer(pre, "{\"type\":\"ByteLevel\"}", "false", "[\"a b\",[\"ab\",\"c\"]]");
    ImportedVocabulary vocabulary = read(7);
    assertEquals("gpt2", vocabulary.model());
    assertEquals(Optional.of(name), vocabulary.preTokenizer());
    assertEquals(List.of("a", "b", "c", "ab", "abc", "<s>", "[PAD6]"), vocabulary.tokens());
    assertArrayEquals(new int[] {1, 1, 1, 1, 1, 3, 5}, vocabulary.types());
    assertEquals(List.of("a b", "ab c"), vocabulary.merges());
    assertEquals(0, vocabulary.scores().length);
    assertEquals(Optional.of(false), vocabulary.special().addBos());
  }

  @Test
  void specialTokensComeFromTheConfigs() throws IOException {
    tokenizer(BYTE_LEVEL.formatted(true), template(), "false", "[]");
    write("config.json", "{\"bos_token_id\":1,\"eos_token_id\":2}");
    write("generation_config.json", "{\"eos_token_id\":[4,3]}");
    SpecialTokens special = read(6).special();
    assertEquals(OptionalInt.of(1), special.bos());
    assertEquals(OptionalInt.of(4), special.eos());
    assertEquals(OptionalInt.of(3), special.endOfTurn());
    assertEquals(Optional.of(true), special.addBos(), "the post-processor puts a token first");

    write(
        "tokenizer_config.json",
        "{\"bos_token\":{\"content\":\"<s>\"},\"eos_token\":\"c\",\"add_bos_token\":false,"
            + "\"chat_template\":[{\"name\":\"tool\",\"template\":\"t\"},"
            + "{\"name\":\"default\",\"template\":\"d\"}]}");
    special = read(6).special();
    assertEquals(OptionalInt.of(5), special.bos());
    assertEquals(OptionalInt.of(2), special.eos());
    assertEquals(OptionalInt.of(4), special.endOfTurn());
    assertEquals(Optional.of(false), special.addBos());
    assertEquals(Optional.of("d"), special.chatTemplate());

    write("chat_template.jinja", "{{ messages }}");
    assertEquals(Optional.of("{{ messages }}"), read(6).special().chatTemplate());
  }

  @Test
  void mergesBecomeScoresWhereBytesAreTheFallback() throws IOException {
    tokenizer(
        "{\"type\":\"Metaspace\",\"prepend_scheme\":\"first\"}",
        template(),
        "true",
        "[\"a b\",\"ab c\"]");
    ImportedVocabulary vocabulary = read(6);
    assertEquals("llama", vocabulary.model());
    assertArrayEquals(new float[] {0, 0, 0, -1, -2, 0}, vocabulary.scores());
    assertEquals(Optional.of(true), vocabulary.addSpacePrefix());
    assertTrue(vocabulary.merges().isEmpty());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "{'model':{'type':'Unigram'}} | expected BPE",
        "{'model':{'type':'BPE','vocab':{'a':0},'merges':[]}} | neither byte-level",
        "{'model':{'type':'BPE','byte_fallback':true,'merges':[]}} | model.vocab is missing",
        "{'model':{'type':'BPE','byte_fallback':true,'vocab':{'a':0}}} | model.merges is missing",
        "{'model':{'type':'BPE','byte_fallback':true,'vocab':{'a':9},'merges':[]}} | has id 9",
        "{'model':{'type':'BPE','byte_fallback':true,'vocab':{'a':0},'merges':[1]}} | merge 1",
        "{'pre_tokenizer':{'type':'ByteLevel','use_regex':false},"
            + "'model':{'type':'BPE','vocab':{'a':0},'merges':[]}} | is not known",
        "[1] | expected a JSON object",
        "{'model': | not valid JSON",
      })
  void refusesWhatItCannotSay(String json, String words) throws IOException {
    write("tokenizer.json", json.replace('\'', '"'));
    String message = assertThrows(BadFileException.class, () -> read(4)).getMessage();
    assertTrue(message.contains(words) && message.contains("tokenizer.json"), message);
  }

  @Test
  void readsSentencePieceModels() throws IOException {
    Files.write(folder.resolve("tokenizer.model"), sentencePiece(2));
    ImportedVocabulary vocabulary = read(5);
    assertEquals(List.of("<unk>", "<s>", "</s>", "▁a", "[PAD4]"), vocabulary.tokens());
    assertArrayEquals(new int[] {2, 3, 3, 1, 5}, vocabulary.types());
    assertArrayEquals(new float[] {0, 0, 0, -1.5f, 0}, vocabulary.scores());
    assertEquals(Optional.of(false), vocabulary.addSpacePrefix());
    assertEquals(OptionalInt.of(1), vocabulary.special().bos());
    assertEquals(OptionalInt.of(2), vocabulary.special().eos());
    assertEquals(OptionalInt.of(0), vocabulary.special().unknown());
    assertEquals(Optional.of(true), vocabulary.special().addBos());
  }

  @Test
  void refusesDamagedSentencePieceModels() throws IOException {
    Path file = folder.resolve("tokenizer.model");
    byte[] whole = sentencePiece(2);
    int refused = 0;
    for (int length = 0; length < whole.length; length++) {
      Files.write(file, Arrays.copyOf(whole, length));
      try {
        read(5);
      } catch (BadFileException e) {
        assertTrue(e.getMessage().contains("tokenizer.model"), e.getMessage());
        refused++;
      }
    }
    assertTrue(refused > whole.length / 2, "a cut inside a field is always seen");
    Files.write(file, sentencePiece(1));
    assertTrue(assertThrows(BadFileException.class, () -> read(5)).getMessage().contains("type 1"));
    Files.write(file, whole);
    assertThrows(BadFileException.class, () -> read(3));
  }

  private ImportedVocabulary read(int size) throws IOException {
    return VocabularyFolder.read(folder, size).orElseThrow();
  }

  private static String template() {
    return "{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\"},"
        + "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\"}},"
        + "{\"Sequence\":{\"id\":\"A\"}}]}]}";
  }

  private void tokenizer(String pre, String post, String byteFallback, String merges)
      throws IOException {
    write(
        "tokenizer.json",
        "{\"added_tokens\":[{\"id\":5,\"content\":\"<s>\",\"special\":true}],"
            + "\"normalizer\":null,\"pre_tokenizer\":%s,\"post_processor\":%s,".formatted(pre, post)
            + "\"model\":{\"type\":\"BPE\",\"unk_token\":null,\"byte_fallback\":%s,"
                .formatted(byteFallback)
            + "\"vocab\":{\"a\":0,\"b\":1,\"c\":2,\"ab\":3,\"abc\":4},\"merges\":"
            + merges
            + "}}");
  }

  private void write(String name, String text) throws IOException {
    Files.writeString(folder.resolve(name), text);
  }

  /** Four pieces, a trainer of this type, and a normalizer that adds no prefix. */
  private static byte[] sentencePiece(int modelType) {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    piece(out, "<unk>", 0, 2);
    piece(out, "<s>", 0, 3);
    piece(out, "</s>", 0, 3);
    piece(out, "▁a", -1.5f, 1);
    // Unknown fields of each wire type are passed over: 35 varint, 36 fixed64, 37 fixed32.
    field(
        out,
        2,
        new byte[] {
          24,
          (byte) modelType,
          (byte) 0x98,
          2,
          7,
          (byte) 0xa1,
          2,
          1,
          2,
          3,
          4,
          5,
          6,
          7,
          8,
          (byte) 0xad,
          2,
          1,
          2,
          3,
          4
        });
    field(out, 3, new byte[] {10, 1, 'n', 24, 0});
    return out.toByteArray();
  }

  private static void piece(ByteArrayOutputStream out, String text, float score, int type) {
    byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
    ByteBuffer piece = ByteBuffer.allocate(utf8.length + 9).order(ByteOrder.LITTLE_ENDIAN);
    piece.put((byte) 10).put((byte) utf8.length).put(utf8);
    piece.put((byte) 21).putFloat(score).put((byte) 24).put((byte) type);
    field(out, 1, piece.array());
  }

  private static void field(ByteArrayOutputStream out, int number, byte[] message) {
    out.write(number << 3 | 2);
    out.write(message.length);
    out.writeBytes(message);
  }
}
