package io.github.mla4j.convert.source;

import io.github.mla4j.BadFileException;
import io.github.mla4j.CancelledException;
import io.github.mla4j.MlaException;
import io.github.mla4j.Status;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.ClosedByInterruptException;
import java.nio.channels.FileChannel;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/**
 * A file of any size, read where it is asked for. Not mapped: pages of a mapping count as the
 * process's memory for as long as it lives, and Java has no way to give them back. Any thread.
 */
final class ReadOnlyFile implements AutoCloseable {
  // Java copies through a buffer outside the heap as large as what is read at once, and keeps it.
  private static final int SLICE = 1 << 20;

  private final Path path;
  private final FileChannel channel;
  private final long size;

  private ReadOnlyFile(Path path, FileChannel channel, long size) {
    this.path = path;
    this.channel = channel;
    this.size = size;
  }

  /** The caller closes it. */
  static ReadOnlyFile open(Path path) throws IOException {
    if (Files.isDirectory(path)) {
      throw new FileSystemException(path.toString(), null, "is a directory, expected a file");
    }
    FileChannel channel = FileChannel.open(path, StandardOpenOption.READ);
    return new ReadOnlyFile(path, channel, channel.size());
  }

  /** When it was opened. */
  long size() {
    return size;
  }

  /**
   * Copies {@code length} bytes from {@code position} on; the range must lie inside the file.
   *
   * @throws BadFileException if the file has become shorter
   * @throws CancelledException if the thread is interrupted
   * @throws MlaException if the system fails to read it
   */
  void read(long position, byte[] out, int offset, int length) {
    int done = 0;
    while (done < length) {
      int slice = Math.min(SLICE, length - done);
      int count = readSome(position + done, ByteBuffer.wrap(out, offset + done, slice));
      if (count < 0) {
        throw new BadFileException(
            "%s: ends at byte %d, expected %d: it has been cut short while it was read"
                .formatted(path, position + done, size));
      }
      done += count;
    }
  }

  private int readSome(long position, ByteBuffer out) {
    try {
      return channel.read(out, position);
    } catch (ClosedByInterruptException e) {
      Thread.interrupted();
      throw new CancelledException("reading %s was cancelled".formatted(path));
    } catch (IOException e) {
      throw failed(e);
    }
  }

  private MlaException failed(IOException e) {
    return new MlaException(Status.IO, "%s: %s".formatted(path, e));
  }

  /** A copy of {@code length} bytes, little-endian. */
  ByteBuffer read(long position, int length) {
    byte[] bytes = new byte[length];
    read(position, bytes, 0, length);
    return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }

  @Override
  public void close() {
    try {
      channel.close();
    } catch (IOException e) {
      throw failed(e);
    }
  }
}
