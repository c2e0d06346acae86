package io.github.mla4j.convert.vocabulary;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.MissingNode;
import io.github.mla4j.convert.source.JsonFile;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * What a directory says about its special tokens: {@code tokenizer_config.json}, then {@code
 * generation_config.json}, then {@code config.json}.
 *
 * @param endOfTurn a second token that ends generation, where the directory lists several
 * @param addBos whether texts begin with {@code bos}, where it is said
 * @param addEos whether texts end with {@code eos}, where it is said
 * @param chatTemplate in Jinja
 */
public record SpecialTokens(
    OptionalInt bos,
    OptionalInt eos,
    OptionalInt endOfTurn,
    OptionalInt unknown,
    OptionalInt padding,
    Optional<Boolean> addBos,
    Optional<Boolean> addEos,
    Optional<String> chatTemplate) {

  static SpecialTokens read(Path folder, TokenTable tokens) throws IOException {
    JsonNode config = optional(folder.resolve("tokenizer_config.json"));
    JsonNode[] fallbacks = {
      optional(folder.resolve("generation_config.json")), optional(folder.resolve("config.json"))
    };
    List<Integer> ends = ids(config, "eos_token", tokens, fallbacks);
    OptionalInt eos = first(ends);
    return new SpecialTokens(
        first(ids(config, "bos_token", tokens, fallbacks)),
        eos,
        ends.stream().filter(id -> id != eos.orElseThrow()).mapToInt(Integer::intValue).findFirst(),
        first(ids(config, "unk_token", tokens)),
        first(ids(config, "pad_token", tokens, fallbacks)),
        flag(config, "add_bos_token"),
        flag(config, "add_eos_token"),
        chatTemplate(folder, config));
  }

  /** The same, with what another file says where this one says nothing. */
  SpecialTokens orElse(
      OptionalInt otherBos, OptionalInt otherEos, OptionalInt otherUnknown, boolean startsWithBos) {
    return new SpecialTokens(
        bos.isPresent() ? bos : otherBos,
        eos.isPresent() ? eos : otherEos,
        endOfTurn,
        unknown.isPresent() ? unknown : otherUnknown,
        padding,
        addBos.isPresent() ? addBos : Optional.of(startsWithBos),
        addEos,
        chatTemplate);
  }

  private static JsonNode optional(Path file) throws IOException {
    return Files.exists(file) ? JsonFile.read(file) : MissingNode.getInstance();
  }

  private static OptionalInt first(List<Integer> ids) {
    return ids.isEmpty() ? OptionalInt.empty() : OptionalInt.of(ids.get(0));
  }

  /** The token named in the first file, then the ids in the others, best first. */
  private static List<Integer> ids(
      JsonNode config, String key, TokenTable tokens, JsonNode... fallbacks) {
    List<Integer> found = new ArrayList<>();
    JsonNode named = config.path(key);
    String spelling = named.isObject() ? named.path("content").asText() : named.asText("");
    tokens.find(spelling).ifPresent(found::add);
    for (JsonNode fallback : fallbacks) {
      JsonNode ids = fallback.path(key + "_id");
      if (ids.isIntegralNumber()) {
        found.add(ids.intValue());
      }
      ids.forEach(id -> found.add(id.intValue()));
    }
    return found.stream().filter(id -> id >= 0 && id < tokens.size()).distinct().toList();
  }

  private static Optional<Boolean> flag(JsonNode config, String key) {
    return config.path(key).isBoolean()
        ? Optional.of(config.get(key).booleanValue())
        : Optional.empty();
  }

  private static Optional<String> chatTemplate(Path folder, JsonNode config) throws IOException {
    Path file = folder.resolve("chat_template.jinja");
    if (Files.exists(file)) {
      return Optional.of(Files.readString(file, StandardCharsets.UTF_8));
    }
    JsonNode template = config.path("chat_template");
    for (JsonNode named : template) {
      if (named.path("name").asText().equals("default")) {
        return Optional.of(named.path("template").asText());
      }
    }
    return template.isTextual() ? Optional.of(template.asText()) : Optional.empty();
  }
}
