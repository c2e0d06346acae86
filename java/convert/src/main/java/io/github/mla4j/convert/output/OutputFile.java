package io.github.mla4j.convert.output;

import io.github.mla4j.gguf.GgufWriter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;

/**
 * A GGUF file being written, whose temporary file is removed even if the process is told to end.
 */
public final class OutputFile implements AutoCloseable {
  private final GgufWriter writer;
  private final Thread onExit;

  private OutputFile(GgufWriter writer) {
    this.writer = writer;
    this.onExit = new Thread(writer::close, "remove unfinished output");
    Runtime.getRuntime().addShutdownHook(onExit);
  }

  /**
   * @throws IllegalArgumentException if {@code output} is the source, or a directory
   */
  public static OutputFile create(Path output, Path source) throws IOException {
    check(output, source);
    return new OutputFile(GgufWriter.create(output));
  }

  /**
   * Refuses what {@link #create} would, before the work whose result is to be written.
   *
   * @throws IllegalArgumentException if {@code output} is the source, or a directory
   */
  public static void check(Path output, Path source) throws IOException {
    Path folder = output.toAbsolutePath().getParent();
    if (!Files.isDirectory(folder)) {
      throw new NoSuchFileException(folder.toString());
    }
    if (Files.isDirectory(output)) {
      throw new IllegalArgumentException(output + ": is a directory: expected a file to write");
    }
    if (Files.exists(output) && Files.isSameFile(output, source)) {
      throw new IllegalArgumentException(output + ": is the source: expected another file");
    }
  }

  /** What the file is written with; closed with this object. */
  public GgufWriter writer() {
    return writer;
  }

  @Override
  public void close() {
    try {
      Runtime.getRuntime().removeShutdownHook(onExit);
    } catch (IllegalStateException e) {
      // The process is ending: the hook does its work.
    }
    writer.close();
  }
}
