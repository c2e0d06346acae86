package io.github.mla4j.convert.source;

import io.github.mla4j.MlaException;
import io.github.mla4j.gguf.Gguf;
import io.github.mla4j.gguf.GgufTensor;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A GGUF file of a plain model; quantized weights stay as they are. */
public final class GgufSource implements ModelSource {
  private static final Pattern QUERY_OR_KEY =
      Pattern.compile("blk\\.\\d+\\.attn_([qk])\\.(weight|bias)");

  private final Path path;
  private final Gguf file;
  private final ModelConfig config;

  private GgufSource(Path path, Gguf file, ModelConfig config) {
    this.path = path;
    this.file = file;
    this.config = config;
  }

  /**
   * Opens a file; the caller closes the source.
   *
   * @throws MlaException if the file is damaged or contradictory, or holds a model of another kind
   */
  public static GgufSource open(Path path) {
    Gguf file = Gguf.open(path);
    try {
      GgufSource source = new GgufSource(path, file, GgufConfig.parse(file));
      DecoderTensors.check(source);
      return source;
    } catch (Throwable e) {
      file.close();
      throw e;
    }
  }

  /** The open file, for its metadata. */
  public Gguf file() {
    return file;
  }

  @Override
  public String name() {
    return file.name();
  }

  @Override
  public ModelConfig config() {
    return config;
  }

  @Override
  public Optional<WeightTensor> find(String name) {
    Optional<GgufTensor> found = file.tensor(name);
    if (found.isEmpty()) {
      return Optional.empty();
    }
    WeightTensor tensor = new StoredTensor(file, found.get());
    Matcher matcher = QUERY_OR_KEY.matcher(name);
    if (!config.family().interleavesPairsInGguf() || !matcher.matches()) {
      return Optional.of(tensor);
    }
    int heads = matcher.group(1).equals("q") ? config.headCount() : config.kvHeadCount();
    int[] order = PairOrder.halvesFromInterleaved(heads, config.headLength());
    return Optional.of(
        matcher.group(2).equals("weight")
            ? new RowSelection(expectRows(tensor, order.length), order)
            : new FloatTensor(name, PairOrder.select(expectColumns(tensor, order.length), order)));
  }

  private WeightTensor expectRows(WeightTensor tensor, int rows) {
    DecoderTensors.expect(name(), tensor, rows, config.embeddingLength());
    return tensor;
  }

  private float[] expectColumns(WeightTensor tensor, int columns) {
    DecoderTensors.expect(name(), tensor, 1, columns);
    return tensor.readAll();
  }

  @Override
  public List<Path> weightFiles() {
    return List.of(path);
  }

  @Override
  public void releasePages() {
    file.releasePages();
  }

  @Override
  public void close() {
    file.close();
  }
}
