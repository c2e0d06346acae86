package io.github.mla4j.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Conversion by command: what it refuses, and that what it writes runs as it should. */
final class ConvertCommandTest {
  private static final String IDS = "5,17,250,3,99,128";

  @TempDir private Path folder;

  @Test
  void atFullRankNothingChanges() throws IOException {
    Path output = folder.resolve("whole.gguf");
    Cli converted =
        convert(Cli.stories(), output, "--rope", "high", "--rope-dims", 8, "--svd", "none");
    assertTrue(converted.ok().out().contains("320 elements cached per token instead of 320"));
    Cli.assertClose(
        Cli.logits(Cli.stories(), IDS, "--cache", "f32"),
        Cli.logits(output, IDS, "--cache", "f32"));
  }

  @Test
  void aFolderConvertsToWhatThePapersCodeMakesOfIt() throws IOException {
    Path source = Cli.shared("fixtures/mha2mla/llama-gqa/source");
    Path official = Cli.shared("fixtures/mha2mla/llama-gqa/high-split-r8-d8");
    Path output = folder.resolve("split.gguf");
    convert(
            source,
            output,
            "--rope",
            "high",
            "--rope-dims",
            8,
            "--svd",
            "split",
            "--rank",
            8,
            "--type",
            "F32")
        .ok();
    double[][] expected = Cli.logits(official, IDS, "--cache", "f32");
    Cli.assertClose(expected, Cli.logits(output, IDS, "--cache", "f32"));
    Cli.assertClose(expected, Cli.logits(output, IDS, "--cache", "f32", "--step"));
    Cli.assertClose(expected, Cli.logits(official, IDS, "--cache", "f32", "--step"));
  }

  @Test
  void theFileTellsHowItWasMade() throws IOException {
    Path output = folder.resolve("latent.gguf");
    Path text = Files.writeString(folder.resolve("text.txt"), "Once upon a time there was a cat. ");
    convert(
            Cli.stories(),
            output,
            "--rope",
            "2-norm",
            "--rope-dims",
            4,
            "--svd",
            "joint",
            "--rank",
            4,
            "--calibration",
            text,
            "--type",
            "q8_0")
        .ok();
    String json = Cli.run("inspect", output, "--json").json();
    for (String part :
        new String[] {
          "\"architecture\":\"mha2mla\"",
          "\"base_architecture\":\"llama\"",
          "\"converted\":true",
          "{\"rope_groups\":4,\"rope_dims\":4,\"latent\":16,\"elements\":32}",
          "\"f16\":320.0",
          "\"rope\":\"2-norm\"",
          "\"rank\":\"4\"",
          "\"calibration_sha256\":",
          "\"type\":\"Q8_0\""
        }) {
      assertTrue(json.contains(part), () -> part + " in " + json);
    }
    assertTrue(Cli.run("run", output, "-p", "Once", "-n", 5).ok().out().length() > 1);
  }

  @Test
  void wrongUseIsRefused() {
    Path output = folder.resolve("never.gguf");
    Path source = Cli.stories();
    convert(source, output, "--rope", "middle", "--rope-dims", 4, "--svd", "none")
        .fails(2, "--rope", "middle", "2-norm");
    convert(source, output, "--rope", "high", "--rope-dims", 4, "--svd", "all")
        .fails(2, "only_key");
    convert(source, output, "--rope", "2-norm", "--rope-dims", 4, "--svd", "none")
        .fails(2, "--calibration");
    convert(source, output, "--rope", "high", "--rope-dims", 3, "--svd", "none")
        .fails(2, "3", "even");
    convert(source, output, "--rope", "high", "--rope-dims", 10, "--svd", "none")
        .fails(2, "10", "8");
    convert(source, output, "--rope", "high", "--rope-dims", 4, "--svd", "joint")
        .fails(2, "--rank");
    convert(source, output, "--rope", "high", "--rope-dims", 4, "--svd", "joint", "--rank", 99)
        .fails(2, "99");
    convert(source, output, "--method", "magic").fails(2);
    convert(source, source, "--rope", "high", "--rope-dims", 8, "--svd", "none").fails(2, "source");
    assertFalse(Files.exists(output));
  }

  @Test
  void failuresNameTheFile() {
    Path missing = folder.resolve("missing");
    convert(missing, folder.resolve("a.gguf"), "--rope", "high", "--rope-dims", 4, "--svd", "none")
        .fails(1, missing.toString());
    convert(folder, folder.resolve("a.gguf"), "--rope", "high", "--rope-dims", 4, "--svd", "none")
        .fails(1, "config.json");
    Path nowhere = folder.resolve("no/such/folder");
    convert(
            Cli.stories(),
            nowhere.resolve("a.gguf"),
            "--rope",
            "high",
            "--rope-dims",
            4,
            "--svd",
            "none")
        .fails(1, nowhere.toString());
    assertEquals(0, folder.toFile().list().length);
  }

  @Test
  void calibratedIsTheDefault() throws IOException {
    Path output = folder.resolve("calibrated.gguf");
    Cli converted =
        Cli.run(
            "convert",
            Cli.stories(),
            output,
            "--reduction",
            50,
            "--windows",
            2,
            "--ctx",
            64,
            "--refine",
            2);
    assertTrue(converted.ok().out().contains("elements cached per token instead of 320"));
    assertTrue(Cli.run("inspect", output).ok().out().contains("calibrated"));
    String text = Cli.run("run", output, "-p", "Once upon a time", "-n", 8).ok().out();
    assertFalse(text.isBlank());
  }

  @Test
  void calibratedRefusesWhatItCannotUse() {
    Path output = folder.resolve("none.gguf");
    for (String[] wrong :
        new String[][] {
          {"--reduction"},
          {"--reduction", "100"},
          {"--reduction", "-1"},
          {"--reduction", "50", "--rope", "high"},
          {"--reduction", "50", "--svd", "joint"},
          {"--reduction", "50", "--windows", "0"},
          {"--reduction", "50", "--ctx", "1"},
          {"--reduction", "50", "--refine", "-2"},
          {"--reduction", "50", "--rope-dims", "3"},
          {"--reduction", "50", "--rope-dims", "4", "--rank", "8"},
          {"--rank", "8"}
        }) {
      Object[] arguments = new Object[3 + wrong.length];
      arguments[0] = "convert";
      arguments[1] = Cli.stories();
      arguments[2] = output;
      System.arraycopy(wrong, 0, arguments, 3, wrong.length);
      Cli refused = Cli.run(arguments);
      assertEquals(2, refused.status(), String.join(" ", wrong));
      assertFalse(Files.exists(output));
    }
  }

  private static Cli convert(Path source, Path output, Object... options) {
    Object[] arguments = new Object[5 + options.length];
    arguments[0] = "convert";
    arguments[1] = source;
    arguments[2] = output;
    arguments[3] = "--method";
    arguments[4] = "mha2mla";
    System.arraycopy(options, 0, arguments, 5, options.length);
    return Cli.run(arguments);
  }
}
