package io.github.mla4j.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The commands that take a model, on a real one that answers in milliseconds. */
final class ModelCommandsTest {
  private static final String STORY =
      ", there was a little girl named Lily. She loved to play outside in the park. One day, she "
          + "saw a big, red ball.";

  @Test
  void runContinuesAPrompt(@TempDir Path folder) throws IOException {
    Cli run = Cli.run("run", Cli.stories(), "-p", "Once upon a time", "-n", 40).ok();
    assertEquals(STORY + "\n", run.out());
    assertTrue(run.err().startsWith("mla: 5 prompt tokens"), run.err());
    assertTrue(run.err().endsWith(", length\n"), run.err());

    Path prompt = Files.writeString(folder.resolve("prompt.txt"), "Once upon a time");
    assertEquals(
        run.out(),
        Cli.run("run", Cli.stories(), "-f", prompt, "-n", 40, "--cache", "f32").ok().out());
  }

  @Test
  void runTellsEverythingAsJson() throws IOException {
    String json =
        Cli.run("run", Cli.stories(), "-p", "Once upon a time", "-n", 40, "--json").json();
    assertTrue(json.contains("\"text\":\"" + STORY + "\""), json);
    assertTrue(json.contains("\"finish_reason\":\"length\""), json);
    assertTrue(json.contains("\"prompt_tokens\":5"), json);
    assertEquals(40, between(json, "\"tokens\":[", "]").split(",").length);
  }

  @Test
  void aSeedRepeatsWhatItGave() {
    Object[] sampled = {
      "run", Cli.stories(), "-p", "One day", "-n", 30, "--temp", 1.5, "--top-k", 50, "--seed"
    };
    assertEquals(with(sampled, 7).ok().out(), with(sampled, 7).ok().out());
    assertTrue(!with(sampled, 7).out().equals(with(sampled, 8).out()));
  }

  @Test
  void aSessionFileKeepsWhatWasEvaluated(@TempDir Path folder) throws IOException {
    Path file = folder.resolve("story.mlas");
    Object[] begin = {"run", Cli.stories(), "-p", "Once upon a time", "-n", 10, "--session", file};
    String first = Cli.run(begin).ok().out().stripTrailing();
    Cli rest = Cli.run("run", Cli.stories(), "-p", "", "-n", 30, "--session", file).ok();
    assertEquals(STORY + "\n", first + rest.out());
    // The same prompt again: all of it but its last token is there.
    Cli again = Cli.run(begin).ok();
    assertEquals(first, again.out().stripTrailing());
    assertTrue(again.err().startsWith("mla: 1 prompt token"), again.err());
    Files.writeString(file, "no session");
    Cli.run(begin).fails(1, "story.mlas", "not a session file");
    assertEquals("no session", Files.readString(file));
  }

  @Test
  void theContextEndsARun() throws IOException {
    String json = Cli.run("run", Cli.stories(), "-p", "Once", "--ctx", 16, "--json").json();
    assertTrue(json.contains("\"finish_reason\":\"context_full\""), json);
    Cli.run("run", Cli.stories(), "-p", "Once upon a time there was", "--ctx", 4).fails(1, "4");
  }

  @Test
  void valuesOutOfRangeAreWrongUse() {
    Cli.run("run", Cli.stories(), "-p", "a", "--temp", -1).fails(2, "temperature", "-1");
    Cli.run("run", Cli.stories(), "-p", "a", "--top-p", 2).fails(2, "topP", "2");
    Cli.run("run", Cli.stories(), "-p", "a", "-n", -3).fails(2, "-3");
    Cli.run("run", Cli.stories(), "-p", "a", "--threads", 0).fails(2, "--threads", "0");
    Cli.run("run", Cli.stories(), "-p", "a", "--ctx", 0).fails(2, "--ctx", "0");
    Cli.run("run", Cli.stories(), "-p", "a", "--ctx", 100_000).fails(2, "100000", "512");
    Cli.run("logits", Cli.stories(), "--ids", "1,512").fails(2, "512", "511");
  }

  @Test
  void logitsAreARowAPositionHoweverTheyAreComputed() throws IOException {
    double[][] batch = logits("--cache", "f32");
    assertEquals(4, batch.length);
    assertEquals(512, batch[0].length);
    Cli.assertClose(batch, logits("--cache", "f32", "--step"));
    Cli.assertClose(batch, logits("--cache", "f32", "--prefill", "expanded"));
    Cli.assertClose(batch, logits("--cache", "latent=f32,rope=f32", "--prefill", "absorbed"));
  }

  @Test
  void tokenizePrintsIds() throws IOException {
    assertEquals("[]\n", Cli.run("tokenize", Cli.stories(), "-p", "").json());
    String plain = Cli.run("tokenize", Cli.stories(), "-p", "Once upon a time").json();
    assertEquals(
        "[1," + plain.substring(1),
        Cli.run("tokenize", Cli.stories(), "-p", "Once upon a time", "--add-special").json());
    assertEquals(
        "[383,4000,261]\n",
        Cli.run("tokenize", Cli.shared("fixtures/vocab/ggml-vocab-llama-spm.gguf"), "-p", "Führer")
            .json());
  }

  @Test
  void inspectTellsWhatAFileHolds() throws IOException {
    String json = Cli.run("inspect", Cli.stories(), "--json").json();
    assertTrue(json.contains("\"architecture\":\"llama\""), json);
    assertTrue(json.contains("\"runnable\":true"), json);
    assertTrue(json.contains("{\"f32\":1280.0,\"f16\":640.0,\"int8\":"), json);
    assertTrue(json.contains("\"name\":\"blk.4.ffn_up.weight\""), json);
    String text = Cli.run("inspect", Cli.stories()).ok().out();
    assertTrue(text.contains("8 for queries, 4 for keys and values, 8 dims each"), text);

    Path vocabulary = Cli.shared("fixtures/vocab/ggml-vocab-gpt-2.gguf");
    json = Cli.run("inspect", vocabulary, "--json").json();
    assertTrue(json.contains("\"runnable\":false"), json);
  }

  @Test
  void chatNeedsATemplate() {
    Cli.run("chat", Cli.stories()).fails(1, "chat template");
  }

  @Test
  void aDeviceIsTakenOrRefusedWithTheReason() throws IOException {
    Object[] run = {"run", Cli.stories(), "-p", "Once upon a time", "-n", 40, "--device"};
    assertEquals(STORY + "\n", with(run, "cpu").ok().out());
    // On the GPU where there is one, else on the CPU; the text is the same.
    assertEquals(STORY + "\n", with(run, "auto").ok().out());
    with(run, "gpu").fails(2, "expected cpu, cuda, cuda:N or auto");
    with(run, "cuda:-1").fails(2, "expected cpu, cuda, cuda:N or auto");
    with(run, "cuda:9999").fails(1, "CUDA");
    String json = Cli.run("info", "--json").json();
    assertTrue(json.contains("\"gpus\":[") && json.contains("\"gpu_reason\":"), json);
  }

  @Test
  void infoTellsWhatRuns() throws IOException {
    String json = Cli.run("info", "--json").json();
    for (String key :
        new String[] {
          "version", "isa", "isa_reason", "cores", "memory_nodes", "memory_nodes_reason", "backends"
        }) {
      assertTrue(json.contains("\"" + key + "\":"), json);
    }
    assertTrue(Cli.run("info").ok().out().contains("isa "));
  }

  private static double[][] logits(String... options) throws IOException {
    return Cli.logits(Cli.stories(), "1,403,407,261", options);
  }

  private static String between(String text, String begin, String end) {
    int from = text.indexOf(begin) + begin.length();
    return text.substring(from, text.indexOf(end, from));
  }

  private static Cli with(Object[] arguments, Object last) {
    Object[] all = Arrays.copyOf(arguments, arguments.length + 1);
    all[arguments.length] = last;
    return Cli.run(all);
  }
}
