package io.github.mla4j.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.mla4j.CacheOptions;
import io.github.mla4j.CancelledException;
import io.github.mla4j.Device;
import io.github.mla4j.eval.Machine;
import io.github.mla4j.eval.sweep.CacheList;
import io.github.mla4j.eval.sweep.Sweep;
import io.github.mla4j.eval.sweep.SweepEntry;
import io.github.mla4j.eval.sweep.SweepFile;
import io.github.mla4j.eval.sweep.SweepReuse;
import io.github.mla4j.eval.sweep.SweepSettings;
import io.github.mla4j.eval.sweep.TextHash;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A sweep over a real model, small enough to take seconds. */
final class SweepCommandTest {
  private static final String STORY =
      "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. ";

  @TempDir private Path folder;
  private Path text;
  private Path out;

  @BeforeEach
  void writeText() throws IOException {
    text = Files.writeString(folder.resolve("text.txt"), STORY.repeat(8));
    out = folder.resolve("results").resolve("sweep");
  }

  @Test
  void measuresEveryPairAndReports() throws Exception {
    Path other = Files.copy(Cli.stories(), folder.resolve("a & <copy>.gguf"));
    Cli run =
        sweep(
                List.of(Cli.stories(), other),
                "--cache",
                "f16,int8;latent=int4,rope=int8,residual=0",
                "--depths",
                "300,0,2048",
                "--bytes-per-token",
                500)
            .ok();
    Sweep sweep = read();
    assertEquals(6, sweep.results().size());
    SweepEntry exact = sweep.result("stories260K", "f16").orElseThrow();
    // 5 layers of 4 KV heads with keys and values of 8, two bytes each.
    assertEquals(640, exact.bytesPerToken());
    assertEquals(16, exact.effectiveBits());
    assertEquals(320, sweep.source().elementsPerToken());
    assertEquals(0, exact.quality().kldMean());
    assertEquals(1, exact.quality().top1Agreement());
    assertEquals(2 * 63, exact.quality().tokens());
    assertEquals(List.of(0, 300), exact.speeds().stream().map(at -> at.depth()).toList());
    assertTrue(exact.peakMemoryBytes() > 0);
    SweepEntry small = sweep.result("a & <copy>", "latent=int4,rope=int8,residual=0").orElseThrow();
    // 4 keys of 8 in int8 and 4 values of 8 in int4, with their scales, and of 64 tokens 4 in f16.
    assertEquals(5 * (4 * (8 + 2) + 4 * (4 + 4)) + 640 * 4.0 / 64, small.bytesPerToken(), 1e-9);
    assertTrue(small.quality().kldMean() > 0, small.toString());
    assertEquals(8 * small.bytesPerToken() / 320, small.effectiveBits(), 1e-9);
    assertTrue(run.err().contains("no room to measure at depth 2048"), run.err());
    assertTrue(run.out().contains("best within 500.0 bytes per token: "), run.out());
    assertEquals(7, Files.readAllLines(out.resolve("sweep.csv")).size());
    // What a strict reader takes is well formed.
    DocumentBuilderFactory.newInstance()
        .newDocumentBuilder()
        .parse(out.resolve("sweep.html").toFile());

    // The numbers are those of eval.
    String kld =
        Cli.run(
                "eval",
                "kld",
                Cli.stories(),
                "--teacher",
                Cli.stories(),
                "--data",
                text,
                "--ctx",
                64,
                "--limit",
                2,
                "--cache",
                "int8",
                "--json")
            .json();
    SweepEntry bytes = sweep.result("stories260K", "int8").orElseThrow();
    assertTrue(kld.contains("\"kld_mean\":" + bytes.quality().kldMean()), kld);
    assertTrue(kld.contains("\"perplexity\":" + bytes.quality().perplexity()), kld);
    assertTrue(kld.contains("\"bytes_per_token\":" + bytes.bytesPerToken()), kld);
  }

  @Test
  void goesOnFromWhatIsThere() throws IOException {
    sweep(List.of(Cli.stories()), "--cache", "f16").ok();
    SweepEntry first = read().result("stories260K", "f16").orElseThrow();
    Cli second = sweep(List.of(Cli.stories()), "--cache", "f16", "--cache", "int8").ok();
    assertTrue(second.err().contains("1 of 2 pairs are measured already"), second.err());
    assertFalse(second.err().contains("stories260K, f16: "), second.err());
    assertEquals(first, read().result("stories260K", "f16").orElseThrow());

    String before = Files.readString(out.resolve("sweep.json"));
    Cli third =
        sweep(List.of(Cli.stories()), "--cache", "f16,int8", "--bytes-per-token", 1000).ok();
    assertTrue(third.err().contains("nothing is left to measure"), third.err());
    assertTrue(third.out().contains("best within 1,000.0 bytes per token"), third.out());
    assertEquals(before, Files.readString(out.resolve("sweep.json")));
    assertFalse(Files.exists(out.resolve("sweep.previous.json")));

    Cli deeper = sweep(List.of(Cli.stories()), "--cache", "f16,int8", "--depths", "0,200").ok();
    assertFalse(deeper.err().contains("KL divergence so far"), deeper.err());
    SweepEntry again = read().result("stories260K", "f16").orElseThrow();
    assertEquals(first.quality(), again.quality());
    assertEquals(first.speeds().get(0), again.speeds().get(0));
    assertEquals(2, again.speeds().size());
  }

  @Test
  void whatHasChangedIsMeasuredAnewAndSaysSo() throws IOException {
    Path model = Files.copy(Cli.stories(), folder.resolve("model.gguf"));
    sweep(List.of(model), "--cache", "f16").ok();
    Sweep before = read();
    Cli other = sweep(List.of(model), "--cache", "f16", "--ctx", 32).ok();
    assertTrue(
        other.err().contains("everything is measured anew: --ctx was 64, now it is 32"),
        other.err());
    assertEquals(2 * 31, read().results().get(0).quality().tokens());
    assertEquals(before, SweepFile.read(out.resolve("sweep.previous.json")).orElseThrow());

    Files.setLastModifiedTime(model, FileTime.fromMillis(1));
    Cli touched = sweep(List.of(model), "--cache", "f16", "--ctx", 32).ok();
    assertTrue(touched.err().contains("measured anew") && touched.err().contains("model.gguf"));
  }

  /** As Ctrl-C does after the first pair. */
  @Test
  void aStopLeavesTheFinishedPairs() throws IOException {
    SweepModels models =
        SweepModels.look(
            Main.commandLine().getCommandSpec(),
            List.of(Cli.stories()),
            Optional.empty(),
            Optional.empty());
    Map<String, CacheOptions> caches = CacheList.parse(List.of("f16,int8,int4"));
    SweepSettings settings =
        new SweepSettings(
            text.toString(),
            TextHash.sha256(STORY.repeat(8)),
            64,
            2,
            models.teacher().file(),
            List.copyOf(caches.keySet()),
            List.of(0),
            2);
    SweepRun run =
        new SweepRun(
            new PrintWriter(new StringWriter()),
            "mla sweep",
            settings,
            Machine.here(Version.text()),
            Device.CPU,
            models,
            caches,
            new SweepReuse(List.of(), List.of(), false));
    SweepFolder results = SweepFolder.open(out);
    assertThrows(
        CancelledException.class,
        () ->
            run.measure(
                STORY.repeat(8),
                Optional.empty(),
                sweep -> {
                  results.write(sweep);
                  run.stop();
                }));
    assertEquals(1, read().results().size());
    assertTrue(Files.readString(out.resolve("sweep.html")).contains("1 of 3 pairs are measured"));
    Cli rest = sweep(List.of(Cli.stories()), "--cache", "f16,int8,int4").ok();
    assertTrue(rest.err().contains("1 of 3 pairs are measured already"), rest.err());
    assertEquals(3, read().results().size());
  }

  @Test
  void aFailureLeavesTheFinishedPairs() throws IOException {
    sweep(List.of(Cli.stories()), "--cache", "f16").ok();
    Path broken = Files.writeString(folder.resolve("broken.gguf"), "no model");
    Cli.run(words(List.of(Cli.stories(), broken), "--cache", "f16")).fails(1, "broken.gguf");
    assertEquals(1, read().results().size());
  }

  @Test
  void jsonIsThatOfTheFile() throws IOException {
    Object[] options = {"--cache", "f16", "--json"};
    String json = Cli.run(words(List.of(Cli.stories()), options)).json();
    assertTrue(json.startsWith("{\"format\":1,") && json.lines().count() == 1, json);
    assertTrue(json.contains("\"isa\":") && json.contains("\"on_front\":true"), json);
    Object[] within = {"--cache", "f16", "--json", "--bytes-per-token", 640};
    String best = Cli.run(words(List.of(Cli.stories()), within)).json();
    assertTrue(best.contains("\"model\":\"stories260K\",\"cache\":\"f16\"}}"), best);
  }

  @Test
  void noneWithinTheBytesIsAFailure() {
    Cli none = sweep(List.of(Cli.stories()), "--cache", "f16", "--bytes-per-token", 639);
    assertEquals(1, none.status());
    assertTrue(none.err().contains("--bytes-per-token is 639.0"), none.err());
    assertTrue(none.err().contains("stories260K, f16 takes 640.0"), none.err());
  }

  @Test
  void modelsMustKnowTheSameTokens() throws IOException {
    try (DemoFolder demo = DemoFolder.create()) {
      Cli other = sweep(List.of(Cli.stories(), demo.embeddedModel()), "--cache", "f16");
      assertEquals(2, other.status(), other.err());
      assertTrue(
          Pattern.compile("vocabulary of 2048 tokens, expected 512").matcher(other.err()).find());
    }
    assertEquals(1, read().results().size(), "the source's pair is kept");
    Path swapped =
        StoriesCopy.withTokensSwapped(folder.resolve("swapped.gguf"), "\u2581upon", "\u2581play");
    Cli other = sweep(List.of(Cli.stories(), swapped), "--cache", "f16");
    assertEquals(2, other.status(), other.err());
    assertTrue(other.err().contains("swapped.gguf has another tokenizer"), other.err());
  }

  @Test
  void wrongUseIsRefused() throws IOException {
    List<Path> one = List.of(Cli.stories());
    Cli.run("sweep", Cli.stories(), "--out", out).fails(2, "--data");
    Cli.run("sweep", Cli.stories(), "--data", text).fails(2, "--out");
    Cli.run("sweep", "--data", text, "--out", out).fails(2, "MODEL");
    Path none = folder.resolve("none.txt");
    Cli.run("sweep", Cli.stories(), "--data", none, "--out", out).fails(1, "none.txt");
    Path missing = folder.resolve("missing.gguf");
    Cli.run(words(List.of(missing))).fails(1, "missing.gguf");
    Cli.run(words(List.of(Cli.stories(), Cli.stories()))).fails(2, "stories260K.gguf", "twice");
    Cli.run(words(one, "--cache", "f16,int3")).fails(2, "--cache", "int3", "int8");
    Cli.run(words(one, "--cache", "latent=int4,size=1")).fails(2, "--cache", "size", "residual");
    Cli.run(words(one, "--depths", "0,-1")).fails(2, "--depths", "-1", "at least 0");
    Cli.run(words(one, "--depths", "0,x")).fails(2, "--depths", "x");
    Cli.run(words(one, "--ctx", 1)).fails(2, "--ctx", "at least 2");
    Cli.run(words(one, "--ctx", 1000)).fails(2, "--ctx", "1000", "at most 512");
    Cli.run(words(one, "--limit", 0)).fails(2, "--limit", "at least 1");
    Cli.run(words(one, "--threads", 0)).fails(2, "--threads", "at least 1");
    Cli.run(words(one, "--bytes-per-token", -5)).fails(2, "--bytes-per-token", "more than 0");
    Files.createDirectories(out);
    Files.writeString(out.resolve("sweep.json"), "{}");
    Cli.run(words(one)).fails(1, "sweep.json", "format");
    Path empty = Files.createFile(folder.resolve("empty.txt"));
    Path fresh = folder.resolve("fresh");
    Cli nothing = Cli.run("sweep", Cli.stories(), "--data", empty, "--out", fresh, "--depths", "0");
    nothing.fails(1, "empty.txt");
  }

  private Sweep read() throws IOException {
    return SweepFile.read(out.resolve("sweep.json")).orElseThrow();
  }

  private Cli sweep(List<Path> models, Object... options) {
    return Cli.run(words(models, options));
  }

  /** Small settings, of which those in {@code options} take the place. */
  private Object[] words(List<Path> models, Object... options) {
    List<Object> given = Arrays.asList(options);
    Object[] usual = {"--ctx", 64, "--limit", 2, "--depths", "0", "--threads", 2};
    Stream<Object> rest = Stream.of();
    for (int i = 0; i < usual.length; i += 2) {
      if (!given.contains(usual[i])) {
        rest = Stream.concat(rest, Stream.of(usual[i], usual[i + 1]));
      }
    }
    return Stream.of(
            Stream.of("sweep"),
            models.stream(),
            Stream.of("--data", text, "--out", out),
            rest,
            given.stream())
        .flatMap(part -> part)
        .toArray();
  }
}
