package io.github.mla4j.convert;

import io.github.mla4j.convert.calibration.IdFile;
import io.github.mla4j.convert.output.ModelMetadata;
import io.github.mla4j.convert.output.Sha256;
import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.gguf.Gguf;
import io.github.mla4j.tokenizer.Tokenizer;
import io.github.mla4j.tokenizer.Vocabulary;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;

/** Token sequences of a calibration text. */
final class CalibrationTokens {
  private static final String BUNDLED = "/io/github/mla4j/convert/calibration.txt";

  private CalibrationTokens() {}

  /**
   * @param source what the metadata are of, named in errors
   * @param windows sequences made of a text, at most
   * @param windowTokens tokens of each, at most; the model's context limits them too
   * @throws IllegalArgumentException if there is nothing to measure
   */
  static int[][] read(
      Calibration calibration,
      Path source,
      ModelConfig config,
      ModelMetadata metadata,
      int windows,
      int windowTokens)
      throws IOException {
    if (calibration instanceof Calibration.Ids ids) {
      return IdFile.read(ids.file(), config);
    }
    boolean given = calibration instanceof Calibration.Text;
    int[] tokens =
        tokenize(new String(bytes(calibration), StandardCharsets.UTF_8), source, metadata);
    if (tokens.length == 0) {
      throw new IllegalArgumentException(
          (given ? ((Calibration.Text) calibration).file() : "the bundled calibration text")
              + ": holds no text");
    }
    return cut(tokens, windows, Math.min(windowTokens, config.contextLength()));
  }

  /**
   * Whole windows, spread over the text, since what stands together is alike; a text shorter than
   * one is a window by itself.
   */
  static int[][] cut(int[] tokens, int windows, int length) {
    int most = Math.max(1, tokens.length / length);
    int count = Math.min(windows, most);
    int[][] cut = new int[count][];
    for (int i = 0; i < count; i++) {
      int start = (int) ((long) i * most / count) * length;
      cut[i] = Arrays.copyOfRange(tokens, start, Math.min(start + length, tokens.length));
    }
    return cut;
  }

  /** SHA-256 of the text or ids, in hexadecimal. */
  static String hash(Calibration calibration) throws IOException {
    return Sha256.of(bytes(calibration));
  }

  private static byte[] bytes(Calibration calibration) throws IOException {
    if (calibration instanceof Calibration.Text text) {
      return Files.readAllBytes(text.file());
    }
    if (calibration instanceof Calibration.Ids ids) {
      return Files.readAllBytes(ids.file());
    }
    try (InputStream in = CalibrationTokens.class.getResourceAsStream(BUNDLED)) {
      if (in == null) {
        throw new IllegalStateException(BUNDLED + " is missing from the library");
      }
      return in.readAllBytes();
    }
  }

  private static int[] tokenize(String text, Path source, ModelMetadata metadata) {
    try (Gguf keys = metadata.inMemory(source.toString());
        Tokenizer tokenizer = new Tokenizer(Vocabulary.read(keys))) {
      return tokenizer.encode(text);
    }
  }
}
