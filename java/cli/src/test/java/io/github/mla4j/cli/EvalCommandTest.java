package io.github.mla4j.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Measures by command. */
final class EvalCommandTest {
  private static final String STORY =
      "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. ";

  @TempDir private Path folder;

  @Test
  void perplexityKnowsAStoryFromNonsense() throws IOException {
    String story = perplexity(STORY.repeat(4));
    String nonsense = perplexity("zq xk vvw qpf ".repeat(20));
    assertTrue(number(story, "perplexity") < 4, story);
    assertTrue(number(nonsense, "perplexity") > 3 * number(story, "perplexity"), nonsense);
    assertTrue(number(story, "stderr") > 0);
    // 5 layers of 4 KV heads with keys and values of 8, two bytes each.
    assertEquals(640, number(story, "bytes_per_token"));
  }

  @Test
  void limitCountsWindows() throws IOException {
    Path text = Files.writeString(folder.resolve("text.txt"), STORY.repeat(8));
    String two =
        Cli.run("eval", "ppl", Cli.stories(), "--data", text, "--ctx", 32, "--limit", 2, "--json")
            .ok()
            .json();
    assertEquals(2 * 31, number(two, "tokens"));
  }

  @Test
  void hellaSwagFindsTheStorysEnding() throws IOException {
    Path tasks =
        Files.writeString(
            folder.resolve("tasks.txt"),
            "Once upon a time, there was a little girl\n1\nzq xk vvw.\nnamed Lily.\nqqq 7 7.\nvx vx.\n");
    String result =
        Cli.run("eval", "hellaswag", Cli.stories(), "--data", tasks, "--json").ok().json();
    assertEquals(1, number(result, "accuracy"));
    assertEquals(1, number(result, "tasks"));
  }

  @Test
  void wrongUseIsRefused() throws IOException {
    Path text = Files.writeString(folder.resolve("text.txt"), STORY);
    assertEquals(2, Cli.run("eval").status());
    assertEquals(2, Cli.run("eval", "ppl", Cli.stories()).status());
    assertEquals(
        2, Cli.run("eval", "ppl", Cli.stories(), "--data", text, "--ctx", 100_000).status());
    assertEquals(2, Cli.run("eval", "ppl", Cli.stories(), "--data", text, "--limit", 0).status());
    Cli missing = Cli.run("eval", "ppl", Cli.stories(), "--data", folder.resolve("none.txt"));
    assertEquals(1, missing.status());
    assertTrue(missing.err().contains("none.txt"), missing.err());
  }

  private String perplexity(String text) throws IOException {
    Path file = Files.writeString(folder.resolve("text.txt"), text);
    return Cli.run("eval", "ppl", Cli.stories(), "--data", file, "--ctx", 64, "--json").ok().json();
  }

  private static double number(String json, String field) {
    Matcher found = Pattern.compile("\"" + field + "\":([-0-9.Ee]+)").matcher(json);
    assertTrue(found.find(), () -> field + " in " + json);
    return Double.parseDouble(found.group(1));
  }
}
