package io.github.mla4j.convert;

import io.github.mla4j.convert.calibration.IdFile;
import io.github.mla4j.convert.output.ModelMetadata;
import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.gguf.Gguf;
import io.github.mla4j.gguf.GgufWriter;
import io.github.mla4j.tokenizer.Tokenizer;
import io.github.mla4j.tokenizer.Vocabulary;
import java.io.IOException;
import java.nio.file.Files;
import java.util.Arrays;

/** Token sequences of a calibration file. */
final class CalibrationTokens {
  private static final int WINDOW = 1024;
  private static final int MAX_WINDOWS = 8;

  private CalibrationTokens() {}

  static int[][] read(Calibration calibration, ModelConfig config, ModelMetadata metadata)
      throws IOException {
    if (calibration instanceof Calibration.Ids ids) {
      return IdFile.read(ids.file(), config);
    }
    int[] tokens = tokenize(Files.readString(calibration.file()), metadata);
    if (tokens.length == 0) {
      throw new IllegalArgumentException(calibration.file() + ": holds no text");
    }
    int window = Math.min(WINDOW, config.contextLength());
    int count = Math.min(MAX_WINDOWS, (tokens.length + window - 1) / window);
    int[][] windows = new int[count][];
    for (int i = 0; i < count; i++) {
      windows[i] =
          Arrays.copyOfRange(tokens, i * window, Math.min((i + 1) * window, tokens.length));
    }
    return windows;
  }

  /** A tokenizer is built from a GGUF file's keys, so the source's are brought into that form. */
  private static int[] tokenize(String text, ModelMetadata metadata) {
    try (GgufWriter writer = GgufWriter.inMemory()) {
      metadata.write(writer);
      writer.finish();
      try (Gguf keys = writer.reader();
          Tokenizer tokenizer = new Tokenizer(Vocabulary.read(keys))) {
        return tokenizer.encode(text);
      }
    }
  }
}
