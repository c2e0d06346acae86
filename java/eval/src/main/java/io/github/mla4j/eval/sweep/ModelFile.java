package io.github.mla4j.eval.sweep;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;

/**
 * A model's file or folder, as a later run knows it again: by place, size and time, because hashing
 * what takes gigabytes would take longer than a run that has nothing left to measure.
 *
 * @param path absolute, links followed
 * @param bytes of the file, or of all files of the folder
 * @param modified when the file, or the newest of the folder, was changed last; milliseconds since
 *     1970
 */
public record ModelFile(String path, long bytes, long modified) {

  /**
   * Looks at a file or folder.
   *
   * @throws IOException naming it, where it is not there
   */
  public static ModelFile of(Path path) throws IOException {
    Path real = path.toRealPath();
    long bytes = 0;
    long modified = 0;
    try (Stream<Path> files = Files.walk(real)) {
      for (Path file : (Iterable<Path>) files.filter(Files::isRegularFile)::iterator) {
        bytes += Files.size(file);
        modified = Math.max(modified, Files.getLastModifiedTime(file).toMillis());
      }
    }
    return new ModelFile(real.toString(), bytes, modified);
  }
}
