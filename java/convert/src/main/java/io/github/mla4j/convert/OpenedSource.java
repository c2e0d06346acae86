package io.github.mla4j.convert;

import io.github.mla4j.convert.output.ModelMetadata;
import io.github.mla4j.convert.source.GgufSource;
import io.github.mla4j.convert.source.HuggingFaceSource;
import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.source.ModelSource;
import io.github.mla4j.convert.source.PaperCheckpoint;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/** A path that names a model, opened as what it is. */
sealed interface OpenedSource extends AutoCloseable {

  /** A model whose attention is plain. */
  record Plain(ModelSource model, ModelMetadata metadata) implements OpenedSource {
    @Override
    public ModelConfig config() {
      return model.config();
    }

    @Override
    public List<Path> weightFiles() {
      return model.weightFiles();
    }

    @Override
    public void releasePages() {
      model.releasePages();
    }

    @Override
    public void close() {
      model.close();
    }
  }

  /** A checkpoint that the paper's code converted. */
  record Paper(PaperCheckpoint checkpoint, ModelMetadata metadata) implements OpenedSource {
    @Override
    public ModelConfig config() {
      return checkpoint.config();
    }

    @Override
    public List<Path> weightFiles() {
      return checkpoint.weightFiles();
    }

    @Override
    public void close() {
      checkpoint.close();
    }
  }

  ModelConfig config();

  ModelMetadata metadata();

  List<Path> weightFiles();

  /** As {@link ModelSource#releasePages}. */
  default void releasePages() {}

  @Override
  void close();

  /**
   * Opens a GGUF file or a Hugging Face directory; the caller closes it.
   *
   * @param rankFile of a checkpoint with a 2-norm choice, where it is not found by itself
   */
  static OpenedSource open(Path path, Optional<Path> rankFile) throws IOException {
    if (!Files.exists(path)) {
      throw new NoSuchFileException(path.toString());
    }
    if (!Files.isDirectory(path)) {
      GgufSource source = GgufSource.open(path);
      return new Plain(source, ModelMetadata.copiedFrom(source.file()));
    }
    if (PaperCheckpoint.isOne(path)) {
      PaperCheckpoint checkpoint = PaperCheckpoint.open(path, rankFile);
      return new Paper(checkpoint, metadata(path, checkpoint.config()));
    }
    HuggingFaceSource source = HuggingFaceSource.open(path);
    return new Plain(source, metadata(path, source.config()));
  }

  private static ModelMetadata metadata(Path folder, ModelConfig config) throws IOException {
    return ModelMetadata.ofFolder(folder, config.vocabularySize());
  }
}
