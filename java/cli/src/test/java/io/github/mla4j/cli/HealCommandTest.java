package io.github.mla4j.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Healing by command. */
final class HealCommandTest {
  private static final String STORY =
      "Once upon a time, there was a little girl named Lily. She loved to play outside. ";

  @TempDir private Path folder;

  private Path converted() {
    Path converted = folder.resolve("converted.gguf");
    if (Files.exists(converted)) {
      return converted;
    }
    Cli.run(
            "convert",
            Cli.stories(),
            converted,
            "--rope-dims",
            8,
            "--rank",
            16,
            "--windows",
            2,
            "--ctx",
            64,
            "--refine",
            0)
        .ok();
    return converted;
  }

  private Path story(String name) throws IOException {
    return Files.writeString(folder.resolve(name), STORY.repeat(4));
  }

  private Cli heal(Path converted, Path output, Object... options) throws IOException {
    return Cli.run(words(converted, output, options));
  }

  private Object[] words(Path converted, Path output, Object... options) throws IOException {
    List<Object> words =
        new ArrayList<>(
            List.of(
                "heal",
                converted,
                "--teacher",
                Cli.stories(),
                "--data",
                story("a.txt"),
                story("b.txt"),
                "--data",
                story("c.txt"),
                "--ctx",
                32,
                "-o",
                output));
    words.addAll(List.of(options));
    return words.toArray();
  }

  @Test
  void writesAModelThatRunsAndTellsHowItWasMade() throws IOException {
    Path output = folder.resolve("healed.gguf");
    Cli healed = heal(converted(), output, "--steps", 2, "--train", "attention", "--cache", "int4");
    String out = healed.ok().out();
    assertTrue(out.contains("2 steps") && out.contains("128 tokens"), out);
    assertTrue(healed.err().contains("tokens/s") && healed.err().contains("left"), healed.err());
    assertTrue(Files.exists(folder.resolve("healed.loss.png")));
    String json = Cli.run("inspect", output, "--json").json();
    assertTrue(json.contains("heal_teacher_sha256") && json.contains("\"int4\""), json);
    assertFalse(Cli.run("run", output, "-p", "Once upon a time", "-n", 8).ok().out().isBlank());
  }

  @Test
  void ctrlCKeepsWhatIsDone() throws Exception {
    CtrlC.assumeHeard();
    Path converted = converted();
    Path output = folder.resolve("healed.gguf");
    StringWriter err = new StringWriter();
    Object[] words = words(converted, output, "--minutes", 60);
    Future<Integer> status = CompletableFuture.supplyAsync(() -> Cli.watched(err, words));
    while (!err.toString().contains("step 1,")) {
      assertFalse(status.isDone(), err.toString());
      Thread.sleep(5);
    }
    CtrlC.press();
    assertEquals(130, status.get(60, TimeUnit.SECONDS), err.toString());
    assertTrue(err.toString().endsWith("mla: stopped; --resume goes on from here\n"));
    assertFalse(Files.exists(output));
    heal(converted, output, "--minutes", 60).fails(1, "--resume");
    heal(converted, output, "--minutes", "0.001", "--resume").ok();
    assertTrue(Files.exists(output));
  }

  @Test
  void minutesAreTakenAsAFraction() throws IOException {
    Path output = folder.resolve("healed.gguf");
    heal(converted(), output, "--minutes", "0.01", "--schedule", "paper", "--loss", "ce").ok();
    assertTrue(Files.exists(output));
  }

  @Test
  void teacherAndTextAreLearntInTheSharesAskedFor() throws IOException {
    assertEquals("kl and 0.5 ce", lossOf());
    assertEquals("kl", lossOf("--loss", "kl"));
    assertEquals("ce", lossOf("--loss", "ce"));
    assertEquals("kl and 0.25 ce", lossOf("--text-share", "0.25"));
    assertEquals("kl and 0.25 ce", lossOf("--loss", "kl", "--text-share", "0.25"));
  }

  private String lossOf(Object... options) throws IOException {
    Path output = folder.resolve("healed.gguf");
    List<Object> all = new ArrayList<>(List.of("--steps", 1));
    all.addAll(List.of(options));
    heal(converted(), output, all.toArray()).ok();
    Matcher objective =
        Pattern.compile("heal_objective\"[^\"]*\"([^\"]*)\"")
            .matcher(Cli.run("inspect", output, "--json").json());
    assertTrue(objective.find());
    return objective.group(1);
  }

  @Test
  void wrongUseIsRefused() throws IOException {
    Path converted = converted();
    Path output = folder.resolve("never.gguf");
    for (Object[] wrong :
        new Object[][] {
          {},
          {"--steps", 0},
          {"--minutes", 0},
          {"--minutes", "-1"},
          {"--minutes", 1, "--steps", 1},
          {"--steps", 1, "--ctx", 1},
          {"--steps", 1, "--ctx", 100_000},
          {"--steps", 1, "--batch", 0},
          {"--steps", 1, "--rate", 0},
          {"--steps", 1, "--rate", "NaN"},
          {"--steps", 1, "--cache", "int3"},
          {"--steps", 1, "--train", "nothing"},
          {"--steps", 1, "--loss", "l2"},
          {"--steps", 1, "--text-share", "1.1"},
          {"--steps", 1, "--text-share", "NaN"},
          {"--steps", 1, "--loss", "ce", "--text-share", "0.5"},
          {"--steps", 1, "--schedule", "none"},
          {"--steps", 1, "--device", "abacus"}
        }) {
      Cli refused = heal(converted, output, wrong);
      assertEquals(2, refused.status(), () -> List.of(wrong) + ": " + refused);
      assertEquals(1, refused.err().lines().count(), refused.err());
    }
    heal(Cli.stories(), output, "--steps", 1).fails(2, "mla convert");
    heal(converted, converted, "--steps", 1).fails(2, converted.toString());
    heal(folder.resolve("missing"), output, "--steps", 1).fails(1, "missing");
    assertFalse(Files.exists(output));
  }
}
