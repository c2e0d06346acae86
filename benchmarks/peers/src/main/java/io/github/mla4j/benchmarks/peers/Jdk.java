package io.github.mla4j.benchmarks.peers;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A Java on this machine. */
record Jdk(Path home, int version) {
  private static final Pattern RELEASE = Pattern.compile("JAVA_VERSION=\"(?:1\\.)?(\\d+)");
  private static final Path DEBIAN = Path.of("/usr/lib/jvm");

  static Jdk current() {
    return new Jdk(Path.of(System.getProperty("java.home")), Runtime.version().feature());
  }

  /** This one if it is new enough, else the oldest that is, of those where Debian keeps them. */
  static Jdk atLeast(int version) throws AbsentException, IOException {
    if (current().version >= version) {
      return current();
    }
    return installed().stream()
        .filter(jdk -> jdk.version >= version)
        .min(Comparator.comparingInt(Jdk::version))
        .orElseThrow(
            () ->
                new AbsentException(
                    "it needs Java %d, and there is only %d here: set JAVA_HOME to a newer one"
                        .formatted(version, current().version)));
  }

  String java() {
    return home.resolve("bin/java").toString();
  }

  private static List<Jdk> installed() throws IOException {
    List<Jdk> all = new ArrayList<>();
    if (Files.isDirectory(DEBIAN)) {
      try (DirectoryStream<Path> homes = Files.newDirectoryStream(DEBIAN)) {
        for (Path home : homes) {
          Path release = home.resolve("release");
          if (Files.isReadable(release) && Files.isExecutable(home.resolve("bin/javac"))) {
            Matcher matcher = RELEASE.matcher(Files.readString(release));
            if (matcher.find()) {
              all.add(new Jdk(home, Integer.parseInt(matcher.group(1))));
            }
          }
        }
      }
    }
    return all;
  }
}
