package io.github.mla4j.benchmarks.peers;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** What programs wrote about their failure. */
final class LogFile {
  private LogFile() {}

  /** The first line that speaks of an error, else the last one. */
  static String errorLine(Path log) throws IOException {
    if (!Files.exists(log)) {
      return "it wrote nothing";
    }
    List<String> lines =
        new String(Files.readAllBytes(log), StandardCharsets.UTF_8)
            .lines()
            .map(String::strip)
            .filter(line -> !line.isEmpty())
            .toList();
    return lines.stream()
        .filter(line -> line.matches("(?i)(\\[?error\\b|npm err|.*\\berror: ).*"))
        .findFirst()
        .orElse(lines.isEmpty() ? "it wrote nothing" : lines.get(lines.size() - 1));
  }
}
