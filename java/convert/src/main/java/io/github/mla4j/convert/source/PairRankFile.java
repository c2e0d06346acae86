package io.github.mla4j.convert.source;

import io.github.mla4j.BadFileException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;

/**
 * The ranks of rotary pairs that the paper's code keeps outside its checkpoints: [layers, kvHeads,
 * d], the rank of each dim's pair, as a tensor of a safetensors file or as the one tensor of bytes
 * that {@code torch.save} wrote.
 */
final class PairRankFile {
  private final ModelConfig config;

  private PairRankFile(ModelConfig config) {
    this.config = config;
  }

  static int[][][] find(
      Path folder, PaperSettings settings, ModelConfig config, Optional<Path> explicit)
      throws IOException {
    PairRankFile reader = new PairRankFile(config);
    String named = settings.ranking().orElse("two_norm_rank");
    if (explicit.isPresent()) {
      return reader.read(explicit.get(), tensorName(named));
    }
    for (Path candidate : candidates(folder, named)) {
      if (Files.isRegularFile(candidate)) {
        return reader.read(candidate, tensorName(named));
      }
    }
    for (Path place : List.of(folder, folder.toAbsolutePath().normalize().resolve(".."))) {
      for (Path file : safetensors(place)) {
        try (SafetensorsFile weights = SafetensorsFile.open(file)) {
          if (weights.shape(tensorName(named)).isPresent()) {
            return reader.fromSafetensors(weights, tensorName(named));
          }
        }
      }
    }
    throw new BadFileException(
        ("%s: the ranks of its 2-norm choice ('%s') are not part of the checkpoint: expected a"
                + " file of that name, or a tensor of that name in a safetensors file of the folder"
                + " or the one above")
            .formatted(folder, named));
  }

  private static List<Path> candidates(Path folder, String named) {
    Path path = Path.of(named);
    return List.of(folder.resolve(path), folder.resolve(path.getFileName()));
  }

  private static String tensorName(String named) {
    String name = Path.of(named).getFileName().toString();
    int dot = name.lastIndexOf('.');
    return dot < 0 ? name : name.substring(0, dot);
  }

  private static List<Path> safetensors(Path folder) throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      return files.filter(file -> file.toString().endsWith(".safetensors")).sorted().toList();
    }
  }

  private int[][][] read(Path file, String tensor) throws IOException {
    if (!Files.isRegularFile(file)) {
      throw new BadFileException("%s: no such file".formatted(file));
    }
    if (isZip(file)) {
      return fromTorch(file);
    }
    try (SafetensorsFile weights = SafetensorsFile.open(file)) {
      return fromSafetensors(weights, tensor);
    }
  }

  private static boolean isZip(Path file) throws IOException {
    try (var in = Files.newInputStream(file)) {
      byte[] start = in.readNBytes(2);
      return start.length == 2 && start[0] == 'P' && start[1] == 'K';
    }
  }

  private int[][][] fromSafetensors(SafetensorsFile file, String tensor) throws IOException {
    String name =
        file.shape(tensor).isEmpty() && file.names().size() == 1
            ? file.names().iterator().next()
            : tensor;
    long[] values = file.integers(name);
    return ranks(file.path() + ": tensor '" + name + "'", values);
  }

  /** A torch.save archive holds each tensor's elements as they are in an entry data/N. */
  private int[][][] fromTorch(Path file) throws IOException {
    try (ZipFile zip = new ZipFile(file.toFile())) {
      List<ZipEntry> tensors = new ArrayList<>();
      zip.stream().filter(e -> e.getName().matches(".*/data/\\d+")).forEach(tensors::add);
      if (tensors.size() != 1) {
        throw new BadFileException(
            "%s: holds %d tensors: expected one of bytes".formatted(file, tensors.size()));
      }
      byte[] bytes = zip.getInputStream(tensors.get(0)).readAllBytes();
      long[] values = new long[bytes.length];
      for (int i = 0; i < bytes.length; i++) {
        values[i] = bytes[i] & 0xff;
      }
      return ranks(file.toString(), values);
    }
  }

  private int[][][] ranks(String where, long[] values) {
    int d = config.headLength();
    int layers = config.blockCount();
    int heads = config.kvHeadCount();
    if (values.length != layers * heads * d) {
      throw new BadFileException(
          "%s: %d ranks: expected %d layers x %d KV heads x %d dims"
              .formatted(where, values.length, layers, heads, d));
    }
    int[][][] ranks = new int[layers][heads][d / 2];
    for (int layer = 0; layer < layers; layer++) {
      for (int head = 0; head < heads; head++) {
        int start = (layer * heads + head) * d;
        boolean[] seen = new boolean[d / 2];
        for (int pair = 0; pair < d / 2; pair++) {
          long rank = values[start + pair];
          if (rank != values[start + pair + d / 2]
              || rank < 0
              || rank >= d / 2
              || seen[(int) rank]) {
            throw new BadFileException(
                "%s: layer %d, KV head %d: ranks are not a ranking of %d pairs"
                    .formatted(where, layer, head, d / 2));
          }
          seen[(int) rank] = true;
          ranks[layer][head][pair] = (int) rank;
        }
      }
    }
    return ranks;
  }
}
