package io.github.mla4j.benchmarks.peers;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PeersCommandTest {
  private static final String TINY =
      "../../java/core/src/main/resources/io/github/mla4j/embedded/mla-tiny.gguf";

  @TempDir private Path folder;

  @Test
  void wrongUseIsToldInOneLineBeforeAnythingIsInstalled() {
    assertWrong(
        "--peers has 'vllm', expected some of llama.cpp, node-llama-cpp", "--peers", "vllm");
    assertWrong("-p is 0, expected at least 1", "-p", "512,0");
    assertWrong("-d is -1, expected at least 0", "-d", "-1");
    assertWrong("-r is 0, expected at least 1", "-r", "0");
    assertWrong("need a context of 100048 tokens", "-d", "100000");
    assertWrong("is not a folder", "-d", "0", "-p", "8", "--hf", folder + "/none");
  }

  @Test
  void aModelThatIsNotThereIsNamed() {
    StringWriter err = new StringWriter();
    String file = folder + "/none.gguf";
    assertEquals(1, run(err, file, "--out", folder.toString()));
    assertEquals("peers: " + file + ": no such file or directory\n", err.toString());
  }

  private void assertWrong(String message, String... options) {
    StringWriter err = new StringWriter();
    Path out = folder.resolve("out");
    String[] args = new String[options.length + 3];
    System.arraycopy(options, 0, args, 0, options.length);
    System.arraycopy(new String[] {"--out", out.toString(), TINY}, 0, args, options.length, 3);
    assertEquals(2, run(err, args), err::toString);
    assertTrue(err.toString().contains(message), err::toString);
    assertEquals(1, err.toString().lines().count(), err::toString);
    assertTrue(Files.notExists(out));
  }

  private static int run(StringWriter err, String... args) {
    return PeersCommand.commandLine().setErr(new PrintWriter(err, true)).execute(args);
  }
}
