package io.github.mla4j.cli;

import io.github.mla4j.eval.sweep.Sweep;
import io.github.mla4j.eval.sweep.SweepCsv;
import io.github.mla4j.eval.sweep.SweepFile;
import io.github.mla4j.eval.sweep.SweepPage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Optional;

/** The folder of a sweep's results. */
final class SweepFolder {
  private final Path folder;

  private SweepFolder(Path folder) {
    this.folder = folder;
  }

  /** Makes the folder where it is not there. */
  static SweepFolder open(Path folder) throws IOException {
    Files.createDirectories(folder);
    return new SweepFolder(folder);
  }

  Path json() {
    return folder.resolve("sweep.json");
  }

  Path csv() {
    return folder.resolve("sweep.csv");
  }

  Path html() {
    return folder.resolve("sweep.html");
  }

  /** What is there from an earlier run. */
  Optional<Sweep> read() throws IOException {
    return SweepFile.read(json());
  }

  /** Writes all three reports, each at once. */
  void write(Sweep sweep) throws IOException {
    SweepFile.replace(json(), SweepFile.json(sweep));
    SweepFile.replace(csv(), SweepCsv.of(sweep));
    SweepFile.replace(html(), SweepPage.of(sweep));
  }

  /** Keeps a copy of results that are about to be replaced: they may have taken hours. */
  void setAside() throws IOException {
    Files.copy(json(), folder.resolve("sweep.previous.json"), StandardCopyOption.REPLACE_EXISTING);
  }
}
