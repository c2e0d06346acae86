package io.github.mla4j.convert.source;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/** A file of any size, mapped read-only in pieces. Any thread. */
final class MappedFile {
  private static final int PIECE_BITS = 30;

  private final MappedByteBuffer[] pieces;
  private final long size;

  private MappedFile(MappedByteBuffer[] pieces, long size) {
    this.pieces = pieces;
    this.size = size;
  }

  static MappedFile open(Path file) throws IOException {
    try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
      long size = channel.size();
      MappedByteBuffer[] pieces = new MappedByteBuffer[(int) ((size >> PIECE_BITS) + 1)];
      for (int i = 0; i < pieces.length; i++) {
        long start = (long) i << PIECE_BITS;
        pieces[i] =
            channel.map(
                FileChannel.MapMode.READ_ONLY, start, Math.min(size - start, 1L << PIECE_BITS));
      }
      return new MappedFile(pieces, size);
    }
  }

  long size() {
    return size;
  }

  /** Copies {@code length} bytes from {@code position} on; the range must lie inside the file. */
  void read(long position, byte[] out, int offset, int length) {
    while (length > 0) {
      ByteBuffer piece = pieces[(int) (position >> PIECE_BITS)];
      int start = (int) (position & ((1L << PIECE_BITS) - 1));
      int run = Math.min(length, piece.capacity() - start);
      piece.get(start, out, offset, run);
      position += run;
      offset += run;
      length -= run;
    }
  }

  /** A copy of {@code length} bytes, little-endian. */
  ByteBuffer read(long position, int length) {
    byte[] bytes = new byte[length];
    read(position, bytes, 0, length);
    return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }
}
