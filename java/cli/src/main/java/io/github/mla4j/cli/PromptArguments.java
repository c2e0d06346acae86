package io.github.mla4j.cli;

import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;
import picocli.CommandLine.Option;

/** The text to begin with: {@code -p TEXT} or {@code -f FILE}, one of them. */
final class PromptArguments {
  @Option(
      names = {"-p", "--prompt"},
      paramLabel = "TEXT",
      description = "The prompt itself.")
  private String prompt;

  @Option(
      names = {"-f", "--file"},
      paramLabel = "FILE",
      description = "A UTF-8 file with the prompt.")
  private Path file;

  String text() throws IOException {
    return file == null ? prompt : readText(file);
  }

  /** All of a UTF-8 file; the error names it. */
  static String readText(Path file) throws IOException {
    if (Files.isDirectory(file)) {
      throw new IOException(file + ": a directory, expected a text file");
    }
    try {
      return Files.readString(file);
    } catch (CharacterCodingException e) {
      throw new IOException(file + ": not UTF-8 text", e);
    }
  }
}
