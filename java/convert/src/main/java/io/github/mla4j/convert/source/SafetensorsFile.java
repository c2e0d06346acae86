package io.github.mla4j.convert.source;

import io.github.mla4j.BadFileException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** A safetensors file, checked. Any thread. */
final class SafetensorsFile implements AutoCloseable {
  private final Path path;
  private final ReadOnlyFile bytes;
  private final Map<String, SafetensorsEntry> entries;

  private SafetensorsFile(Path path, ReadOnlyFile bytes, Map<String, SafetensorsEntry> entries) {
    this.path = path;
    this.bytes = bytes;
    this.entries = entries;
  }

  /**
   * Opens a file; the caller closes it.
   *
   * @throws BadFileException if it is not a valid safetensors file
   */
  static SafetensorsFile open(Path path) throws IOException {
    ReadOnlyFile bytes = ReadOnlyFile.open(path);
    try {
      return new SafetensorsFile(path, bytes, SafetensorsHeader.parse(path.toString(), bytes));
    } catch (Throwable e) {
      bytes.close();
      throw e;
    }
  }

  Path path() {
    return path;
  }

  Set<String> names() {
    return entries.keySet();
  }

  /** Outermost dimension first; empty where there is no such tensor. */
  Optional<List<Long>> shape(String name) {
    return Optional.ofNullable(entries.get(name)).map(SafetensorsEntry::shape);
  }

  /** A matrix or vector of weights, read on demand. */
  WeightTensor tensor(String name) {
    SafetensorsEntry entry = find(name);
    String file = path.toString();
    return new SafetensorsTensor(
        entry, entry.weightType(file), entry.rows(file), entry.columns(file), bytes);
  }

  /** All elements of a tensor of whole numbers, whatever its shape. */
  long[] integers(String name) {
    SafetensorsEntry entry = find(name);
    int size =
        switch (entry.dtype()) {
          case "U8", "I8" -> 1;
          case "I16", "U16" -> 2;
          case "I32", "U32" -> 4;
          case "I64" -> 8;
          default ->
              throw new BadFileException(
                  "%s: tensor '%s' has type %s: expected whole numbers"
                      .formatted(path, name, entry.dtype()));
        };
    ByteBuffer data = bytes.read(entry.begin(), Math.toIntExact(entry.length()));
    boolean unsigned = entry.dtype().startsWith("U");
    long[] values = new long[(int) entry.length() / size];
    for (int i = 0; i < values.length; i++) {
      long value =
          switch (size) {
            case 1 -> data.get();
            case 2 -> data.getShort();
            case 4 -> data.getInt();
            default -> data.getLong();
          };
      values[i] = unsigned ? value & (-1L >>> (64 - 8 * size)) : value;
    }
    return values;
  }

  private SafetensorsEntry find(String name) {
    SafetensorsEntry entry = entries.get(name);
    if (entry == null) {
      throw new BadFileException("%s: tensor '%s' is missing".formatted(path, name));
    }
    return entry;
  }

  @Override
  public void close() {
    bytes.close();
  }
}
