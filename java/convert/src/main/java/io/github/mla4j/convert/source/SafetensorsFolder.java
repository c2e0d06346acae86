package io.github.mla4j.convert.source;

import com.fasterxml.jackson.databind.JsonNode;
import io.github.mla4j.BadFileException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;

/** The weights of a Hugging Face directory: one safetensors file, or shards with an index. */
final class SafetensorsFolder implements AutoCloseable {
  private static final String SINGLE = "model.safetensors";
  private static final String INDEX = "model.safetensors.index.json";

  private final Path folder;
  private final List<Path> files;
  private final Map<String, SafetensorsFile> owners;

  private SafetensorsFolder(Path folder, List<Path> files, Map<String, SafetensorsFile> owners) {
    this.folder = folder;
    this.files = files;
    this.owners = owners;
  }

  /**
   * Opens the files; the caller closes them.
   *
   * @throws BadFileException if there are no weights, a shard is missing, or index and shards
   *     contradict each other
   */
  static SafetensorsFolder open(Path folder) throws IOException {
    Path single = folder.resolve(SINGLE);
    if (Files.exists(single)) {
      SafetensorsFile file = SafetensorsFile.open(single);
      Map<String, SafetensorsFile> owners = new LinkedHashMap<>();
      file.names().forEach(name -> owners.put(name, file));
      return new SafetensorsFolder(folder, List.of(single), owners);
    }
    Path index = folder.resolve(INDEX);
    if (!Files.exists(index)) {
      throw new BadFileException(
          "%s: no weights: expected %s or %s".formatted(folder, SINGLE, INDEX));
    }
    return openShards(folder, index);
  }

  private static SafetensorsFolder openShards(Path folder, Path index) throws IOException {
    JsonNode map = JsonFile.read(index).path("weight_map");
    if (!map.isObject() || map.isEmpty()) {
      throw new BadFileException("%s: expected an object 'weight_map'".formatted(index));
    }
    Map<String, SafetensorsFile> shards = new LinkedHashMap<>();
    try {
      Map<String, SafetensorsFile> owners = openShards(folder, index, map, shards);
      List<Path> files = new TreeSet<>(shards.keySet()).stream().map(folder::resolve).toList();
      return new SafetensorsFolder(folder, files, owners);
    } catch (Throwable e) {
      shards.values().forEach(SafetensorsFile::close);
      throw e;
    }
  }

  /**
   * Tensors' files by their names.
   *
   * @param shards receives the files by theirs, opened
   */
  private static Map<String, SafetensorsFile> openShards(
      Path folder, Path index, JsonNode map, Map<String, SafetensorsFile> shards)
      throws IOException {
    Map<String, SafetensorsFile> owners = new LinkedHashMap<>();
    for (Map.Entry<String, JsonNode> field : map.properties()) {
      String shard = field.getValue().asText();
      SafetensorsFile file = shards.get(shard);
      if (file == null) {
        file = openShard(folder, index, shard);
        shards.put(shard, file);
      }
      if (file.shape(field.getKey()).isEmpty()) {
        throw new BadFileException(
            "%s: places tensor '%s' in %s, which does not hold it"
                .formatted(index, field.getKey(), shard));
      }
      owners.put(field.getKey(), file);
    }
    return owners;
  }

  private static SafetensorsFile openShard(Path folder, Path index, String shard)
      throws IOException {
    // A shard is a file of the folder: an index must not reach out of it.
    Path path = folder.resolve(shard).normalize();
    if (shard.isEmpty() || !folder.normalize().equals(path.getParent())) {
      throw new BadFileException(
          "%s: '%s' is not a file name in the folder".formatted(index, shard));
    }
    if (!Files.exists(path)) {
      throw new BadFileException(
          "%s: shard %s, named by %s, is missing".formatted(folder, shard, index.getFileName()));
    }
    return SafetensorsFile.open(path);
  }

  /** The weight files in order of name. */
  List<Path> files() {
    return files;
  }

  Set<String> names() {
    return owners.keySet();
  }

  boolean has(String name) {
    return owners.containsKey(name);
  }

  Optional<WeightTensor> find(String name) {
    SafetensorsFile owner = owners.get(name);
    return owner == null ? Optional.empty() : Optional.of(owner.tensor(name));
  }

  WeightTensor tensor(String name) {
    return find(name)
        .orElseThrow(
            () -> new BadFileException("%s: tensor '%s' is missing".formatted(folder, name)));
  }

  @Override
  public void close() {
    new HashSet<>(owners.values()).forEach(SafetensorsFile::close);
  }
}
