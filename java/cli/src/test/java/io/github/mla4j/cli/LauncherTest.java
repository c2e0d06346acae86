package io.github.mla4j.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/**
 * The shell launcher in a tree of its own, with stand-ins for Java and Maven that say how they were
 * called.
 */
@EnabledOnOs(OS.LINUX)
final class LauncherTest {
  private static final Path LAUNCHER = Path.of("..", "..", "mla").toAbsolutePath().normalize();

  @TempDir private Path temporary;
  private Path tree;
  private Path jdk;
  private Path tools;

  @BeforeEach
  void makeTree() throws IOException {
    tree = Files.createDirectory(temporary.resolve("a tree"));
    Files.copy(LAUNCHER, tree.resolve("mla"), StandardCopyOption.COPY_ATTRIBUTES);
    Files.createDirectories(tree.resolve("native/src"));
    Files.writeString(tree.resolve("pom.xml"), "<project/>");
    Files.writeString(tree.resolve("native/src/model.cc"), "");
    jdk = jdk("21.0.1");
    tools = Files.createDirectory(temporary.resolve("tools"));
    for (String tool : List.of("cmake", "g++", "ninja", "make")) {
      script(tools.resolve(tool), "exit 0");
    }
    script(
        tools.resolve("mvn"),
        "echo mvn \"$@\" >>'%s'".formatted(calls()),
        "mkdir -p java/cli/target/lib",
        "touch java/cli/target/mla4j-cli-1.jar java/cli/target/lib/library.jar");
  }

  @Test
  void buildsOnceThenOnlyRuns() throws Exception {
    Outcome first = mla(Map.of(), "info", "--json");
    assertEquals(0, first.status, first.err);
    assertTrue(first.out.endsWith("io.github.mla4j.cli.Main info --json\n"), first.out);
    assertTrue(first.err.contains("mla: building"), first.err);
    assertTrue(first.out.contains("mla4j-cli-1.jar:"), first.out);

    Outcome second = mla(Map.of(), "info", "--json");
    assertEquals("", second.err);
    assertEquals(1, Files.readAllLines(calls()).size());
  }

  @Test
  void aNewerSourceOrARemovedOneBuildsAgain() throws Exception {
    mla(Map.of(), "info");
    touch(tree.resolve("native/src/model.cc"));
    mla(Map.of(), "info");
    assertEquals(2, Files.readAllLines(calls()).size());

    touch(tree.resolve("native/src/model_test.cc"));
    Files.setLastModifiedTime(tree.resolve("native/src"), FileTime.from(Instant.EPOCH));
    Files.setLastModifiedTime(tree.resolve("native/src/model.cc"), FileTime.from(Instant.EPOCH));
    mla(Map.of(), "info");
    assertEquals(2, Files.readAllLines(calls()).size(), "a test is no part of the build");

    Files.delete(tree.resolve("native/src/model.cc"));
    touch(tree.resolve("native/src"));
    mla(Map.of(), "info");
    assertEquals(3, Files.readAllLines(calls()).size());
  }

  @Test
  void argumentsAndSymlinksAndOtherFolders() throws Exception {
    Path link = temporary.resolve("link");
    Files.createSymbolicLink(link, Path.of("a tree/mla"));
    Path second = temporary.resolve("second");
    Files.createSymbolicLink(second, link);
    Outcome outcome =
        run(temporary, Map.of(), List.of(second.toString(), "run", "-p", "a  b", "", "*"));
    assertEquals(0, outcome.status, outcome.err);
    assertTrue(outcome.out.endsWith("Main run -p a  b  *\n"), outcome.out);
  }

  @Test
  void aFailedBuildShowsItsLogAndIsNotTakenForDone() throws Exception {
    script(tools.resolve("mvn"), "echo the compiler says no", "exit 1");
    for (int i = 0; i < 2; i++) {
      Outcome outcome = mla(Map.of(), "info");
      assertEquals(1, outcome.status);
      assertEquals("", outcome.out);
      assertTrue(outcome.err.contains("the compiler says no"), outcome.err);
      assertTrue(outcome.err.contains("mla: the build failed"), outcome.err);
    }
  }

  @Test
  void anOldJavaIsPassedOver() throws Exception {
    Outcome outcome = mla(Map.of("JAVA_HOME", jdk("11.0.2").toString()), "info");
    assertFalse(outcome.out.contains("11.0.2"), outcome.out);
  }

  @Test
  void nativeAccessIsAllowedWhereJavaWouldWarn() throws Exception {
    mla(Map.of(), "info");
    assertFalse(mla(Map.of(), "info").out.contains("--enable-native-access"));
    Outcome outcome = mla(Map.of("JAVA_HOME", jdk("25").toString()), "info");
    assertTrue(outcome.out.contains("--enable-native-access=ALL-UNNAMED"), outcome.out);
  }

  @Test
  void theTestCommandKnowsItsOptions() throws Exception {
    Outcome outcome = mla(Map.of(), "test", "--nonsense");
    assertTrue(
        outcome.out.endsWith("Main test --nonsense\n"), "left to the Java command to refuse");
  }

  private Path calls() {
    return temporary.resolve("calls");
  }

  /** A JDK whose java prints its own path and the arguments. */
  private Path jdk(String version) throws IOException {
    Path home = temporary.resolve("jdk-" + version);
    Files.createDirectories(home.resolve("bin"));
    Files.writeString(home.resolve("release"), "JAVA_VERSION=\"" + version + "\"\n");
    script(home.resolve("bin/java"), "echo \"$0\" \"$@\"");
    script(home.resolve("bin/javac"), "exit 0");
    return home;
  }

  private static void script(Path file, String... lines) throws IOException {
    Files.writeString(file, "#!/bin/sh\n" + String.join("\n", lines) + "\n");
    Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwxr-xr-x"));
  }

  /** Writes or touches {@code file}, after the last build and before the next. */
  private static void touch(Path file) throws IOException {
    if (!Files.exists(file)) {
      Files.createFile(file);
    }
    Files.setLastModifiedTime(file, FileTime.from(Instant.now()));
  }

  private Outcome mla(Map<String, String> environment, String... arguments) throws Exception {
    List<String> command = new ArrayList<>(List.of(tree.resolve("mla").toString()));
    command.addAll(List.of(arguments));
    return run(tree, environment, command);
  }

  private Outcome run(Path folder, Map<String, String> environment, List<String> command)
      throws Exception {
    Path out = temporary.resolve("out");
    Path err = temporary.resolve("err");
    ProcessBuilder builder = new ProcessBuilder(command);
    builder.directory(folder.toFile());
    builder.environment().put("JAVA_HOME", jdk.toString());
    builder.environment().put("PATH", tools + ":/usr/bin:/bin");
    builder.environment().putAll(environment);
    builder.redirectOutput(out.toFile()).redirectError(err.toFile());
    Process process = builder.start();
    process.getOutputStream().close();
    assertTrue(process.waitFor(60, TimeUnit.SECONDS), "the launcher hangs");
    return new Outcome(
        process.exitValue(),
        Files.readString(out, StandardCharsets.UTF_8),
        Files.readString(err, StandardCharsets.UTF_8));
  }

  private record Outcome(int status, String out, String err) {}
}
