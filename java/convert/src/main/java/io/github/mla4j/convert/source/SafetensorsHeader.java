package io.github.mla4j.convert.source;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.github.mla4j.BadFileException;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The header of a safetensors file: eight bytes of length, then JSON. After parsing, every tensor's
 * bytes lie inside the file, agree with its shape and type, and the tensors cover the data without
 * gap or overlap, as the format demands.
 */
final class SafetensorsHeader {
  private static final int LENGTH_BYTES = 8;
  // The limit of the format's own reader.
  private static final long MAX_HEADER = 100_000_000;

  private static final ObjectMapper JSON =
      new ObjectMapper().enable(JsonParser.Feature.STRICT_DUPLICATE_DETECTION);

  private final String file;
  private final long fileSize;
  private final long dataStart;
  private final Map<String, SafetensorsEntry> entries = new LinkedHashMap<>();

  private SafetensorsHeader(String file, long fileSize, long headerLength) {
    this.file = file;
    this.fileSize = fileSize;
    this.dataStart = LENGTH_BYTES + headerLength;
  }

  /** Tensors by name, in the header's order. */
  static Map<String, SafetensorsEntry> parse(String file, ReadOnlyFile bytes) {
    if (bytes.size() < LENGTH_BYTES) {
      throw new BadFileException(
          "%s: %d bytes: too short for a safetensors file".formatted(file, bytes.size()));
    }
    long length = bytes.read(0, LENGTH_BYTES).getLong();
    if (length < 2 || length > MAX_HEADER || length > bytes.size() - LENGTH_BYTES) {
      throw new BadFileException(
          "%s: header of %s bytes in a file of %d: not a safetensors file, or truncated"
              .formatted(file, Long.toUnsignedString(length), bytes.size()));
    }
    SafetensorsHeader header = new SafetensorsHeader(file, bytes.size(), length);
    header.parseJson(bytes.read(LENGTH_BYTES, (int) length).array());
    return header.entries;
  }

  private void parseJson(byte[] json) {
    JsonNode root;
    try {
      root = JSON.readTree(json);
    } catch (JsonProcessingException e) {
      throw new BadFileException(
          "%s: header is not JSON: %s".formatted(file, e.getOriginalMessage()));
    } catch (IOException e) {
      throw new BadFileException("%s: header is not text".formatted(file));
    }
    if (!root.isObject()) {
      throw new BadFileException("%s: header is not a JSON object".formatted(file));
    }
    for (Map.Entry<String, JsonNode> field : root.properties()) {
      if (!field.getKey().equals("__metadata__")) {
        entries.put(field.getKey(), entry(field.getKey(), field.getValue()));
      }
    }
    checkCoverage();
  }

  private SafetensorsEntry entry(String name, JsonNode node) {
    String dtype = node.path("dtype").asText();
    int elementBytes =
        SafetensorsEntry.elementBytes(dtype)
            .orElseThrow(() -> bad(name, "has unknown type '%s'".formatted(dtype)));
    List<Long> shape = naturals(name, node.path("shape"), "shape");
    List<Long> offsets = naturals(name, node.path("data_offsets"), "data_offsets");
    if (offsets.size() != 2) {
      throw bad(name, "has %d data_offsets: expected 2".formatted(offsets.size()));
    }
    long begin = offsets.get(0);
    long end = offsets.get(1);
    if (begin > end || end > fileSize - dataStart) {
      throw bad(
          name,
          "lies at [%d, %d) of %d bytes of data: outside, or the file is truncated"
              .formatted(begin, end, fileSize - dataStart));
    }
    long expected = elementBytes;
    try {
      for (long dimension : shape) {
        expected = Math.multiplyExact(expected, dimension);
      }
    } catch (ArithmeticException e) {
      throw bad(name, "has impossible shape %s".formatted(shape));
    }
    if (expected != end - begin) {
      throw bad(
          name,
          "of shape %s and type %s takes %d bytes, but its data_offsets span %d"
              .formatted(shape, dtype, expected, end - begin));
    }
    return new SafetensorsEntry(name, dtype, shape, dataStart + begin, end - begin);
  }

  private List<Long> naturals(String name, JsonNode node, String key) {
    if (!node.isArray()) {
      throw bad(name, "has no array '%s'".formatted(key));
    }
    List<Long> values = new ArrayList<>();
    for (JsonNode element : node) {
      if (!element.isIntegralNumber() || !element.canConvertToLong() || element.longValue() < 0) {
        throw bad(name, "has %s %s: expected whole numbers of at least 0".formatted(key, node));
      }
      values.add(element.longValue());
    }
    return List.copyOf(values);
  }

  private void checkCoverage() {
    List<SafetensorsEntry> ordered = new ArrayList<>(entries.values());
    ordered.sort(
        Comparator.comparingLong(SafetensorsEntry::begin)
            .thenComparingLong(SafetensorsEntry::length));
    long covered = dataStart;
    for (SafetensorsEntry entry : ordered) {
      if (entry.begin() < covered) {
        throw bad(entry.name(), "overlaps the tensor before it");
      }
      if (entry.begin() > covered) {
        throw bad(
            entry.name(),
            "begins %d bytes after the tensor before it: gaps are not allowed"
                .formatted(entry.begin() - covered));
      }
      covered += entry.length();
    }
    if (covered != fileSize) {
      throw new BadFileException(
          "%s: %d bytes after the last tensor: expected none".formatted(file, fileSize - covered));
    }
  }

  private BadFileException bad(String tensor, String problem) {
    return new BadFileException("%s: tensor '%s' %s".formatted(file, tensor, problem));
  }
}
