package io.github.mla4j.convert.output;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;

/** Hashes of files. */
public final class Sha256 {
  private static final int SLICE = 1 << 20;

  private Sha256() {}

  /** Of the files' bytes, one file after the other, in hexadecimal. */
  public static String of(List<Path> files) throws IOException {
    MessageDigest digest = digest();
    byte[] slice = new byte[SLICE];
    for (Path file : files) {
      try (InputStream in = Files.newInputStream(file)) {
        for (int read = in.read(slice); read >= 0; read = in.read(slice)) {
          digest.update(slice, 0, read);
        }
      }
    }
    return HexFormat.of().formatHex(digest.digest());
  }

  /** Of bytes in memory, in hexadecimal. */
  public static String of(byte[] bytes) {
    return HexFormat.of().formatHex(digest().digest(bytes));
  }

  private static MessageDigest digest() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java has SHA-256", e);
    }
  }
}
