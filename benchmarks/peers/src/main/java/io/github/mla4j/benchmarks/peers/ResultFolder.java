package io.github.mla4j.benchmarks.peers;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Optional;

/** The folder of a comparison's results. */
record ResultFolder(Path folder) {

  /** Makes the folder where it is not there. */
  static ResultFolder open(Path folder) throws IOException {
    ResultFolder results = new ResultFolder(folder);
    Files.createDirectories(results.logs());
    return results;
  }

  /** What the engines wrote to standard error. */
  Path logs() {
    return folder.resolve("logs");
  }

  /** Writes all three reports, each at once. */
  void write(Run run) throws IOException {
    replace("peers.md", Report.of(run).getBytes(StandardCharsets.UTF_8));
    replace("peers.json", (ReportJson.of(run) + "\n").getBytes(StandardCharsets.UTF_8));
    Optional<byte[]> picture = DepthPlot.png(run);
    if (picture.isPresent()) {
      replace("peers.png", picture.get());
    }
  }

  private void replace(String name, byte[] content) throws IOException {
    Path fresh = folder.resolve(name + ".tmp");
    Files.write(fresh, content);
    Files.move(
        fresh,
        folder.resolve(name),
        StandardCopyOption.ATOMIC_MOVE,
        StandardCopyOption.REPLACE_EXISTING);
  }
}
