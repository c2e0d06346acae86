package io.github.mla4j.convert.source;

import com.fasterxml.jackson.databind.JsonNode;
import io.github.mla4j.BadFileException;
import java.util.Optional;

/** Checked access to one object of a {@code config.json}; JSON's null counts as absent. */
final class ConfigFile {
  private final String where;
  private final JsonNode node;

  /**
   * @param where the file, and the object inside it, for messages
   */
  ConfigFile(String where, JsonNode node) {
    this.where = where;
    this.node = node;
  }

  boolean has(String key) {
    return node.hasNonNull(key);
  }

  /** The object under {@code key}. */
  Optional<ConfigFile> object(String key) {
    if (!has(key)) {
      return Optional.empty();
    }
    if (!node.get(key).isObject()) {
      throw bad(key, "an object");
    }
    return Optional.of(new ConfigFile(where + ": " + key, node.get(key)));
  }

  JsonNode array(String key) {
    if (!node.path(key).isArray()) {
      throw bad(key, "an array");
    }
    return node.get(key);
  }

  String text(String key) {
    if (!node.path(key).isTextual()) {
      throw bad(key, "a string");
    }
    return node.get(key).asText();
  }

  String text(String key, String absent) {
    return has(key) ? text(key) : absent;
  }

  boolean flag(String key, boolean absent) {
    if (!has(key)) {
      return absent;
    }
    if (!node.get(key).isBoolean()) {
      throw bad(key, "true or false");
    }
    return node.get(key).booleanValue();
  }

  /** A whole number of at least {@code least}. */
  int count(String key, int least) {
    JsonNode value = node.path(key);
    if (!value.isIntegralNumber() || !value.canConvertToInt() || value.intValue() < least) {
      throw bad(key, "a whole number of at least " + least);
    }
    return value.intValue();
  }

  int count(String key, int least, int absent) {
    return has(key) ? count(key, least) : absent;
  }

  /** A finite number above 0. */
  double positive(String key) {
    JsonNode value = node.path(key);
    if (!value.isNumber() || !(value.doubleValue() > 0) || Double.isInfinite(value.doubleValue())) {
      throw bad(key, "a number above 0");
    }
    return value.doubleValue();
  }

  double positive(String key, double absent) {
    return has(key) ? positive(key) : absent;
  }

  /** An error about a key's value. */
  BadFileException bad(String key, String expected) {
    return new BadFileException(
        has(key)
            ? "%s: %s is %s: expected %s".formatted(where, key, node.get(key), expected)
            : "%s: %s is missing: expected %s".formatted(where, key, expected));
  }

  /** An error about the object. */
  BadFileException bad(String problem) {
    return new BadFileException(where + ": " + problem);
  }
}
