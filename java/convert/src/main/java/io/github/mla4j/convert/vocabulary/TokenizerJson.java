package io.github.mla4j.convert.vocabulary;

import com.fasterxml.jackson.databind.JsonNode;
import io.github.mla4j.BadFileException;
import io.github.mla4j.convert.source.JsonFile;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;

/** Reads {@code tokenizer.json}: BPE, byte-level or with bytes as a fallback. */
final class TokenizerJson {
  private final Path file;
  private final JsonNode root;
  private final TokenTable tokens;

  private TokenizerJson(Path file, int vocabularySize) throws IOException {
    this.file = file;
    this.root = JsonFile.read(file);
    this.tokens = new TokenTable(file.toString(), vocabularySize);
  }

  static ImportedVocabulary read(Path file, int vocabularySize) throws IOException {
    return new TokenizerJson(file, vocabularySize).read();
  }

  private ImportedVocabulary read() throws IOException {
    String type = root.path("model").path("type").asText();
    if (!type.equals("BPE")) {
      throw bad("model.type is '%s': expected BPE".formatted(type));
    }
    boolean byteLevel = mentions(root.path("pre_tokenizer"), "ByteLevel");
    boolean byteFallback = root.path("model").path("byte_fallback").asBoolean();
    if (!byteLevel && !byteFallback) {
      throw bad("neither byte-level nor with byte_fallback: texts could not be spelled");
    }
    List<String> merges = merges();
    readTokens(byteFallback);
    return byteLevel ? byteLevel(merges) : sentencePiece(merges);
  }

  private ImportedVocabulary byteLevel(List<String> merges) throws IOException {
    return new ImportedVocabulary(
        "gpt2",
        Optional.of(PreTokenizerName.of(file.toString(), root.path("pre_tokenizer"))),
        tokens.spellings(),
        tokens.types(),
        merges,
        new float[0],
        Optional.empty(),
        special(false));
  }

  /**
   * SentencePiece joins the pair whose result scores best; falling scores in the order of the
   * merges have it join the same pairs.
   */
  private ImportedVocabulary sentencePiece(List<String> merges) throws IOException {
    for (int rank = merges.size() - 1; rank >= 0; rank--) {
      OptionalInt id = tokens.find(merges.get(rank).replace(" ", ""));
      if (id.isPresent()) {
        tokens.score(id.getAsInt(), -1 - rank);
      }
    }
    return new ImportedVocabulary(
        "llama",
        Optional.empty(),
        tokens.spellings(),
        tokens.types(),
        List.of(),
        tokens.scores(),
        Optional.of(addsSpacePrefix()),
        special(true));
  }

  private void readTokens(boolean byteFallback) {
    JsonNode vocabulary = root.path("model").path("vocab");
    if (!vocabulary.isObject() || vocabulary.isEmpty()) {
      throw bad("model.vocab is missing");
    }
    String unknown = root.path("model").path("unk_token").asText("");
    for (Map.Entry<String, JsonNode> entry : vocabulary.properties()) {
      boolean isByte = byteFallback && entry.getKey().matches("<0x[0-9A-F]{2}>");
      tokens.put(
          entry.getValue().asLong(-1), entry.getKey(), isByte ? TokenType.BYTE : TokenType.NORMAL);
    }
    for (JsonNode added : root.path("added_tokens")) {
      String spelling = added.path("content").asText();
      TokenType special = spelling.equals(unknown) ? TokenType.UNKNOWN : TokenType.CONTROL;
      tokens.put(
          added.path("id").asLong(-1),
          spelling,
          added.path("special").asBoolean() ? special : TokenType.USER_DEFINED);
    }
  }

  /** Pairs as "left right", however the file writes them. */
  private List<String> merges() {
    JsonNode node = root.path("model").path("merges");
    if (!node.isArray()) {
      throw bad("model.merges is missing");
    }
    List<String> merges = new ArrayList<>(node.size());
    for (JsonNode merge : node) {
      if (merge.isArray() && merge.size() == 2) {
        merges.add(merge.get(0).asText() + " " + merge.get(1).asText());
      } else if (merge.isTextual()) {
        merges.add(merge.asText());
      } else {
        throw bad("merge %s: expected a pair".formatted(merge));
      }
    }
    return merges;
  }

  private SpecialTokens special(boolean sentencePiece) throws IOException {
    String unknown = root.path("model").path("unk_token").asText("");
    Optional<String> first = firstOfTemplate(root.path("post_processor"));
    boolean startsWithBos = first.isPresent();
    return SpecialTokens.read(file.toAbsolutePath().getParent(), tokens)
        .orElse(
            first.isPresent() ? tokens.find(first.get()) : OptionalInt.empty(),
            OptionalInt.empty(),
            sentencePiece ? tokens.find(unknown) : OptionalInt.empty(),
            startsWithBos);
  }

  /** The special token that a post-processor puts before a text. */
  private static Optional<String> firstOfTemplate(JsonNode processor) {
    if (processor.path("type").asText().equals("TemplateProcessing")) {
      JsonNode first = processor.path("single").path(0).path("SpecialToken").path("id");
      return first.isTextual() ? Optional.of(first.asText()) : Optional.empty();
    }
    for (JsonNode inner : processor.path("processors")) {
      Optional<String> first = firstOfTemplate(inner);
      if (first.isPresent()) {
        return first;
      }
    }
    return Optional.empty();
  }

  /** A normalizer prepends it, or Metaspace does. */
  private boolean addsSpacePrefix() {
    JsonNode pre = root.path("pre_tokenizer");
    if (pre.path("type").asText().equals("Metaspace")) {
      return !pre.path("prepend_scheme").asText("always").equals("never");
    }
    return mentions(root.path("normalizer"), "Prepend");
  }

  private static boolean mentions(JsonNode node, String type) {
    return node.findValuesAsText("type").contains(type);
  }

  private BadFileException bad(String problem) {
    return new BadFileException("%s: %s".formatted(file, problem));
  }
}
