package io.github.mla4j.convert.heal;

import io.github.mla4j.convert.output.ModelMetadata;
import io.github.mla4j.convert.source.GgufSource;
import io.github.mla4j.convert.source.HuggingFaceSource;
import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.source.ModelSource;
import io.github.mla4j.convert.source.PaperCheckpoint;
import io.github.mla4j.gguf.Gguf;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;

/**
 * The model that a converted one was made from, opened.
 *
 * @param path of the model
 * @param metadata its vocabulary, where it has one
 */
record Teacher(Path path, ModelSource source, ModelMetadata metadata) implements AutoCloseable {

  /**
   * @param path a GGUF file or a Hugging Face folder
   * @throws io.github.mla4j.MlaException if it is damaged, or no plain model
   */
  static Teacher open(Path path) throws IOException {
    if (!Files.exists(path)) {
      throw new NoSuchFileException(path.toString());
    }
    if (!Files.isDirectory(path)) {
      GgufSource source = GgufSource.open(path);
      return new Teacher(path, source, ModelMetadata.copiedFrom(source.file()));
    }
    if (PaperCheckpoint.isOne(path)) {
      throw new IllegalArgumentException(
          path + ": is converted already: expected the model that it was converted from");
    }
    HuggingFaceSource source = HuggingFaceSource.open(path);
    return new Teacher(
        path, source, ModelMetadata.ofFolder(path, source.config().vocabularySize()));
  }

  ModelConfig config() {
    return source.config();
  }

  /** The metadata as a GGUF file in memory, which the caller closes. */
  Gguf keys() {
    return metadata.inMemory(path.toString());
  }

  @Override
  public void close() {
    source.close();
  }
}
