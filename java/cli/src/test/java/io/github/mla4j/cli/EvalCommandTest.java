package io.github.mla4j.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
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
  void aTeacherAddsTheRatioToThePerplexity() throws IOException {
    Path text = Files.writeString(folder.resolve("text.txt"), STORY.repeat(4));
    Object[] options = {"--data", text, "--ctx", 64, "--json"};
    String alone = eval("ppl", "int8", options);
    String compared = eval("ppl", "int8", with(options, "--teacher", Cli.stories()));
    assertTrue(compared.startsWith(alone.strip().substring(0, alone.strip().length() - 1)));
    assertEquals(
        number(compared, "perplexity") / number(compared, "teacher_perplexity"),
        number(compared, "perplexity_ratio"),
        1e-5);
    assertTrue(number(compared, "perplexity_ratio_stderr") > 0, compared);
    String same =
        eval("ppl", "int8", with(options, "--teacher", Cli.stories(), "--teacher-cache", "int8"));
    assertEquals(1, number(same, "perplexity_ratio"));
  }

  @Test
  void divergenceFromTheModelItselfIsThatOfItsCache() throws IOException {
    Path text = Files.writeString(folder.resolve("text.txt"), STORY.repeat(6));
    Object[] options = {
      "--teacher", Cli.stories(), "--data", text, "--ctx", 64, "--limit", 2, "--json"
    };
    String same = eval("kld", "f16", options);
    assertEquals(0, number(same, "kld_mean"));
    assertEquals(1, number(same, "top1_agreement"));
    assertEquals(1, number(same, "perplexity_ratio"));
    String bytes = eval("kld", "int8", options);
    assertTrue(number(bytes, "kld_mean") > 1e-5, bytes);
    assertTrue(number(bytes, "kld_mean") < 0.1, bytes);
    assertTrue(number(bytes, "kld_stderr") > 0, bytes);
    assertTrue(number(bytes, "kld_median") < number(bytes, "kld_p99"), bytes);
    assertTrue(number(bytes, "kld_p99") <= number(bytes, "kld_max"), bytes);
    assertTrue(number(bytes, "top1_agreement") > 0.8, bytes);
    assertTrue(number(bytes, "top1_agreement_stderr") >= 0, bytes);
    // The model's cache is counted, not the teacher's.
    assertTrue(number(bytes, "bytes_per_token") < 640, bytes);

    String ppl = eval("ppl", "int8", "--data", text, "--ctx", 64, "--limit", 2, "--json");
    for (String field : List.of("tokens", "perplexity", "stderr", "bytes_per_token")) {
      assertEquals(number(ppl, field), number(bytes, field), 1e-4, field);
    }
  }

  @Test
  void aTeacherMustKnowTheSameTokens() throws IOException {
    Path text = Files.writeString(folder.resolve("text.txt"), STORY);
    try (DemoFolder demo = DemoFolder.create()) {
      Path other = demo.embeddedModel();
      for (String measure : List.of("kld", "ppl")) {
        Cli.run("eval", measure, Cli.stories(), "--teacher", other, "--data", text)
            .fails(2, "--teacher", other.toString(), "2048", "512");
      }
    }
    Path swapped =
        StoriesCopy.withTokensSwapped(folder.resolve("swapped.gguf"), "\u2581upon", "\u2581play");
    Cli.run("eval", "kld", Cli.stories(), "--teacher", swapped, "--data", text)
        .fails(2, "--teacher", "swapped.gguf", "tokenizer", "token 2 of the text");
    Cli.run("eval", "kld", Cli.stories(), "--data", text).fails(2, "--teacher");
    Path none = folder.resolve("none.gguf");
    Cli.run("eval", "kld", Cli.stories(), "--data", text, "--teacher", none).fails(1, "none.gguf");
  }

  /** What a broken model gives is null in JSON, which has no NaN. */
  @Test
  void noNumberIsNull() throws IOException {
    Path text = Files.writeString(folder.resolve("text.txt"), STORY);
    Path broken = StoriesCopy.withoutNumbers(folder.resolve("broken.gguf"));
    String ppl = Cli.run("eval", "ppl", broken, "--data", text, "--json").json();
    assertTrue(ppl.startsWith("{\"perplexity\":null,\"stderr\":null,"), ppl);
    String kld =
        Cli.run("eval", "kld", broken, "--teacher", Cli.stories(), "--data", text, "--json").json();
    assertTrue(kld.startsWith("{\"kld_mean\":null,"), kld);
    for (String json : List.of(ppl, kld)) {
      assertFalse(json.contains("NaN") || json.contains("Infinity"), json);
    }
    Path tasks = tasks("Once\n0\na\nb\nc\nd\n");
    String hellaSwag = Cli.run("eval", "hellaswag", broken, "--data", tasks, "--json").json();
    assertEquals(0, number(hellaSwag, "accuracy"), "no answer is no right one");
    Cli.run("eval", "passkey", broken, "--ctx", 300, "--limit", 1).fails(1, "not a number");
  }

  @Test
  void hellaSwagFindsTheStorysEnding() throws IOException {
    Path tasks =
        tasks(
            "Once upon a time, there was a little girl\n1\nzq xk vvw.\nnamed Lily.\nqqq 7 7.\nvx vx.\n");
    String result = eval("hellaswag", "f16", "--data", tasks, "--json");
    for (String field : List.of("accuracy", "accuracy_by_character", "accuracy_raw", "tasks")) {
      assertEquals(1, number(result, field), field);
    }
    assertEquals(0, number(result, "stderr"));
    assertEquals(640, number(result, "bytes_per_token"));
  }

  @Test
  void hellaSwagNamesTheLineThatIsWrong() throws IOException {
    Path empty = tasks("Once\n1\na\n\nc\nd\n");
    Cli.run("eval", "hellaswag", Cli.stories(), "--data", empty).fails(1, empty + ": line 4");
    Path tasks = tasks("Once\n1\na\nb\nc\nd\n" + STORY + "\n1\na\nb\nc\n" + STORY + "\n");
    Cli.run("eval", "hellaswag", Cli.stories(), "--data", tasks, "--ctx", 16)
        .fails(2, tasks + ": line 7");
    String first = eval("hellaswag", "f16", "--data", tasks, "--ctx", 16, "--limit", 1, "--json");
    assertEquals(1, number(first, "tasks"));
  }

  @Test
  void passkeyTellsEveryContextAndDepth() throws IOException {
    Object[] options = {"--ctx", "300,400", "--depths", "0,100", "--limit", 2, "--seed", 3};
    String json = eval("passkey", "f16", with(options, "--json"));
    assertEquals(8, number(json, "trials"));
    for (String place :
        List.of(
            "{\"ctx\":300,\"depth\":0,",
            "{\"ctx\":300,\"depth\":100,",
            "{\"ctx\":400,\"depth\":0,",
            "{\"ctx\":400,\"depth\":100,")) {
      assertTrue(json.contains(place), json);
    }
    assertEquals(json, eval("passkey", "f16", with(options, "--json")));
    String table = Cli.run(words("passkey", "f16", options)).ok().out();
    assertEquals(6, table.lines().count(), table);
  }

  @Test
  void passkeyHidesInAnotherText() throws IOException {
    Path text = Files.writeString(folder.resolve("text.txt"), STORY.repeat(4));
    Object[] options = {"--ctx", 300, "--depths", 50, "--limit", 1, "--json"};
    String stories = eval("passkey", "f32", with(options, "--data", text));
    String bundled = eval("passkey", "f32", options);
    assertTrue(number(stories, "log_probability") != number(bundled, "log_probability"), stories);
    assertTrue(bundled.contains("\"log_probability_stderr\":null"), "one trial has no spread");
    Path blank = Files.writeString(folder.resolve("blank.txt"), " \n");
    Cli.run("eval", "passkey", Cli.stories(), "--data", blank).fails(1, "blank.txt");
  }

  @Test
  void passkeyRefusesWhatItCannotDo() {
    Cli.run("eval", "passkey", Cli.stories(), "--ctx", "300,60").fails(2, "--ctx", "60 tokens");
    Cli.run("eval", "passkey", Cli.stories(), "--ctx", 513).fails(2, "--ctx", "513", "512");
    Cli.run("eval", "passkey", Cli.stories(), "--depths", "0,101").fails(2, "--depths", "101");
    Cli.run("eval", "passkey", Cli.stories(), "--limit", 0).fails(2, "--limit", "0");
  }

  @Test
  void wrongUseIsRefused() throws IOException {
    Path text = Files.writeString(folder.resolve("text.txt"), STORY);
    Cli.run("eval").fails(2, "ppl, kld, hellaswag, passkey");
    Cli.run("eval", "ppl", Cli.stories()).fails(2, "--data");
    Cli.run("eval", "ppl", Cli.stories(), "--data", text, "--ctx", 100_000)
        .fails(2, "--ctx", "100000", "512");
    Cli.run("eval", "ppl", Cli.stories(), "--data", text, "--ctx", 1).fails(2, "--ctx", "1");
    Cli.run("eval", "ppl", Cli.stories(), "--data", text, "--limit", 0).fails(2, "--limit", "0");
    Cli.run("eval", "ppl", Cli.stories(), "--data", text, "--threads", 0).fails(2, "--threads");
    Cli.run("eval", "ppl", Cli.stories(), "--data", text, "--teacher-cache", "f32")
        .fails(2, "--teacher-cache", "--teacher");
    Path none = folder.resolve("none.txt");
    Cli.run("eval", "ppl", Cli.stories(), "--data", none).fails(1, "none.txt");
    Path empty = Files.createFile(folder.resolve("empty.txt"));
    Cli.run("eval", "ppl", Cli.stories(), "--data", empty).fails(1, "empty.txt");
    Path latin = Files.write(folder.resolve("latin.txt"), new byte[] {(byte) 0xE4, ' '});
    Cli.run("eval", "ppl", Cli.stories(), "--data", latin).fails(1, "latin.txt", "UTF-8");
    Cli.run("eval", "kld", Cli.stories(), "--teacher", Cli.stories(), "--data", folder)
        .fails(1, folder.toString());
  }

  @Test
  void everyMeasureExplainsItself() {
    for (String measure : List.of("ppl", "kld", "hellaswag", "passkey")) {
      String help = Cli.run("eval", measure, "--help").ok().out();
      assertTrue(help.startsWith("Usage: mla eval " + measure), help);
      for (String option : List.of("MODEL", "--data", "--ctx", "--cache", "--limit", "--json")) {
        assertTrue(help.contains(option), option);
      }
    }
  }

  private Path tasks(String text) throws IOException {
    return Files.writeString(folder.resolve("tasks.txt"), text);
  }

  private static String eval(String measure, String cache, Object... options) throws IOException {
    return Cli.run(words(measure, cache, options)).json();
  }

  private static Object[] words(String measure, String cache, Object... options) {
    return with(new Object[] {"eval", measure, Cli.stories(), "--cache", cache}, options);
  }

  private static Object[] with(Object[] words, Object... more) {
    return Stream.concat(Arrays.stream(words), Arrays.stream(more)).toArray();
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
