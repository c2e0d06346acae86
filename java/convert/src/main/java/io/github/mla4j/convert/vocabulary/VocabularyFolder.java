package io.github.mla4j.convert.vocabulary;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/** Finds the vocabulary of a Hugging Face directory. */
public final class VocabularyFolder {
  private VocabularyFolder() {}

  /**
   * The vocabulary in {@code tokenizer.json}, else that in {@code tokenizer.model}; empty where the
   * folder has neither and its model works with ids alone.
   *
   * @param vocabularySize rows of the model's embedding; ids without a token are marked unused
   * @throws io.github.mla4j.BadFileException if a file is damaged or of a kind that is not known
   */
  public static Optional<ImportedVocabulary> read(Path folder, int vocabularySize)
      throws IOException {
    Path json = folder.resolve("tokenizer.json");
    if (Files.exists(json)) {
      return Optional.of(TokenizerJson.read(json, vocabularySize));
    }
    Path model = folder.resolve("tokenizer.model");
    return Files.exists(model)
        ? Optional.of(SentencePieceFile.read(model, vocabularySize))
        : Optional.empty();
  }
}
