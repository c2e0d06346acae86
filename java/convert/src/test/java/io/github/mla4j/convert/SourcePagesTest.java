package io.github.mla4j.convert;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** How much of a mapped source is in memory while it is converted. */
final class SourcePagesTest {
  private static final int LAYERS = 8;

  @TempDir private Path folder;
  private Path source;
  private final List<Long> resident = new ArrayList<>();

  @BeforeEach
  void write() {
    source = folder.resolve("source.gguf");
    new RandomLlama(128, LAYERS, 4, 4, 1024, 300, 128).write(source, 1);
  }

  @Test
  void aConversionHoldsALayer() throws IOException {
    Path text = Files.writeString(folder.resolve("text.txt"), "what it is measured on ".repeat(40));
    Converter.convert(
        new CalibratedRequest(
            source,
            folder.resolve("converted.gguf"),
            0.5,
            OptionalInt.empty(),
            OptionalInt.empty(),
            true,
            new Calibration.Text(text),
            3,
            64,
            0,
            LatentRotation.HADAMARD,
            1,
            Optional.empty()),
        this::look);
    assertHeldALayer();
  }

  @Test
  void aCopyHoldsALayer() throws IOException {
    Converter.repack(
        source, folder.resolve("copy.gguf"), Optional.empty(), Optional.empty(), this::look);
    assertHeldALayer();
  }

  private void look(Progress progress) {
    resident.add(resident(source));
  }

  /** All but the first looks, which see the shared tensors too. */
  private void assertHeldALayer() throws IOException {
    long most = Files.size(source) / 2;
    List<Long> later = resident.subList(resident.size() - LAYERS / 2, resident.size());
    assertTrue(later.stream().allMatch(bytes -> bytes < most), later + " of " + 2 * most);
    assertTrue(later.stream().anyMatch(bytes -> bytes > 0), "nothing of the source was seen");
  }

  /** Bytes of a file's mappings that are in this process's memory, as Linux counts them. */
  private static long resident(Path file) {
    try {
      long kilobytes = 0;
      boolean own = false;
      for (String line : Files.readAllLines(Path.of("/proc/self/smaps"))) {
        if (line.matches("[0-9a-f]+-[0-9a-f]+ .*")) {
          own = line.endsWith(file.toString());
        } else if (own && line.startsWith("Rss:")) {
          kilobytes += Long.parseLong(line.replaceAll("\\D", ""));
        }
      }
      return 1024 * kilobytes;
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
  }
}
