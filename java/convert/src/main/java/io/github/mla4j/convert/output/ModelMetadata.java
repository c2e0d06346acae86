package io.github.mla4j.convert.output;

import io.github.mla4j.convert.vocabulary.ImportedVocabulary;
import io.github.mla4j.convert.vocabulary.SpecialTokens;
import io.github.mla4j.convert.vocabulary.VocabularyFolder;
import io.github.mla4j.gguf.Gguf;
import io.github.mla4j.gguf.GgufKey;
import io.github.mla4j.gguf.GgufWriter;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;

/** What a file says besides sizes and weights: the model's name and its vocabulary. */
@FunctionalInterface
public interface ModelMetadata {
  /** Writes the keys. */
  void write(GgufWriter writer);

  /**
   * As a GGUF file in memory, which the caller closes: what a tokenizer is built from.
   *
   * @param name of the model in errors
   */
  default Gguf inMemory(String name) {
    try (GgufWriter writer = GgufWriter.inMemory(name)) {
      write(writer);
      writer.finish();
      return writer.reader();
    }
  }

  /** As another file has it. */
  static ModelMetadata copiedFrom(Gguf file) {
    // What describes the file itself is not true of the new one.
    Set<String> ofTheFile =
        Set.of(
            "general.architecture",
            "general.file_type",
            "general.quantization_version",
            "general.alignment");
    return writer -> {
      for (GgufKey key : file.keys()) {
        boolean kept = key.name().startsWith("general.") || key.name().startsWith("tokenizer.");
        if (kept && !ofTheFile.contains(key.name())) {
          writer.copyKey(file, key.name());
        }
      }
    };
  }

  /**
   * As a Hugging Face directory has it.
   *
   * @param vocabularySize rows of the embedding
   */
  static ModelMetadata ofFolder(Path folder, int vocabularySize) throws IOException {
    Optional<ImportedVocabulary> vocabulary = VocabularyFolder.read(folder, vocabularySize);
    return writer -> {
      writer.set("general.name", folder.toAbsolutePath().normalize().getFileName().toString());
      vocabulary.ifPresent(words -> write(words, writer));
    };
  }

  private static void write(ImportedVocabulary vocabulary, GgufWriter writer) {
    writer.set("tokenizer.ggml.model", vocabulary.model());
    vocabulary.preTokenizer().ifPresent(name -> writer.set("tokenizer.ggml.pre", name));
    writer.set("tokenizer.ggml.tokens", vocabulary.tokens());
    writer.set("tokenizer.ggml.token_type", vocabulary.types());
    if (vocabulary.scores().length > 0) {
      writer.set("tokenizer.ggml.scores", vocabulary.scores());
    } else {
      writer.set("tokenizer.ggml.merges", vocabulary.merges());
    }
    vocabulary
        .addSpacePrefix()
        .ifPresent(flag -> writer.set("tokenizer.ggml.add_space_prefix", flag));
    write(vocabulary.special(), writer);
  }

  private static void write(SpecialTokens special, GgufWriter writer) {
    id(writer, "bos", special.bos());
    id(writer, "eos", special.eos());
    id(writer, "eot", special.endOfTurn());
    id(writer, "unknown", special.unknown());
    id(writer, "padding", special.padding());
    special.addBos().ifPresent(flag -> writer.set("tokenizer.ggml.add_bos_token", flag));
    special.addEos().ifPresent(flag -> writer.set("tokenizer.ggml.add_eos_token", flag));
    special.chatTemplate().ifPresent(text -> writer.set("tokenizer.chat_template", text));
  }

  private static void id(GgufWriter writer, String name, OptionalInt id) {
    id.ifPresent(value -> writer.set("tokenizer.ggml." + name + "_token_id", value));
  }
}
