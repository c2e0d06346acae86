package io.github.mla4j.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.github.mla4j.OperationProfile;
import io.github.mla4j.Profile;
import io.github.mla4j.Roofline;
import io.github.mla4j.Work;
import io.github.mla4j.eval.Machine;
import io.github.mla4j.eval.bench.BenchCase;
import io.github.mla4j.eval.bench.BenchRow;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class BenchCommandTest {
  private static final Roofline ROOFLINE = new Roofline(2, 20e9, 100e9, 400e9);
  private static final Machine MACHINE = new Machine("A CPU", 4, "avx2", "os", "java", "1");

  @TempDir private Path folder;

  @Test
  void jsonIsAnArrayOfRows() throws IOException {
    Cli run = bench("-p", 32, "-n", 8, "-d", "0,64", "-r", 2, "--json");
    JsonNode rows = new ObjectMapper().readTree(run.json());
    assertTrue(rows.isArray());
    assertEquals("", run.err());
    List<String> tests = new ArrayList<>();
    for (JsonNode row : rows) {
      tests.add(
          "%d %d %d"
              .formatted(
                  row.get("prompt").intValue(),
                  row.get("gen").intValue(),
                  row.get("depth").intValue()));
      assertEquals("stories260K", row.get("model").textValue());
      assertEquals(1, row.get("batch").intValue());
      assertEquals("f16", row.get("cache").textValue());
      assertEquals(2, row.get("samples").size());
      double mean = row.get("tokens_per_second").doubleValue();
      double first = row.get("samples").get(0).doubleValue();
      double second = row.get("samples").get(1).doubleValue();
      assertTrue(first > 0 && second > 0);
      assertEquals((first + second) / 2, mean, 1e-9 * mean);
      assertEquals(
          Math.abs(first - second) / Math.sqrt(2), row.get("stddev").doubleValue(), 1e-9 * mean);
      assertTrue(row.get("roofline_share").doubleValue() > 0);
      assertEquals(640, row.get("cache_bytes_per_token").doubleValue());
      // Whole pages of 64 tokens.
      int pages = row.get("depth").intValue() == 0 ? 1 : 2;
      assertEquals(640 * 64 * pages, row.get("cache_bytes_held").intValue());
      assertTrue(row.get("machine").get("bytes_per_second").doubleValue() > 0);
      assertFalse(row.has("profile"));
    }
    assertEquals(List.of("32 0 0", "0 8 0", "32 0 64", "0 8 64"), tests);
  }

  @Test
  void tellsWhatItLeavesOutAndMeasuresTheRest() throws IOException {
    Cli run = bench("-n", 8, "-d", "0,64,2048", "-r", 1, "--cache", "int8;latent=int4,residual=0");
    run.ok();
    assertTrue(
        run.err()
            .startsWith(
                "mla: stories260K has a context of 512 tokens, no room for pp512 @ d64, "
                    + "pp512 @ d2048, tg8 @ d2048: left out\n"),
        run.err());
    List<String> lines = run.out().lines().toList();
    assertEquals(2 + 2 + 2 * 3, lines.size(), run.out());
    assertTrue(lines.get(0).contains("GB/s"), run.out());
    assertTrue(lines.get(9).contains("| latent=int4,residual=0 |"), run.out());
    assertTrue(lines.get(9).contains(" tg8 @ d64 |"), run.out());
    assertFalse(run.out().contains("operation"), run.out());
  }

  @Test
  void severalModelsAndOneKindOfTest() throws IOException {
    try (DemoFolder demo = DemoFolder.create()) {
      Path other = demo.embeddedModel();
      Object[] words = {"bench", other, Cli.stories(), "-p", 0, "-n", "4,6", "-d", 100, "-r", 1};
      List<String> lines = Cli.run(words).ok().out().lines().skip(4).toList();
      assertEquals(
          List.of("mla-tiny 4", "mla-tiny 6", "stories260K 4", "stories260K 6"),
          lines.stream()
              .map(line -> cells(line).get(0) + " " + cells(line).get(5).replaceAll("tg| @.*", ""))
              .toList());
    }
  }

  @Test
  void sequencesThatGoOnTogetherHaveRowsOfTheirOwn() throws IOException {
    Object[] words = {"-p", 8, "-n", 8, "-d", "0,70", "-r", 1, "--batch", "1,3"};
    List<Object> json = new ArrayList<>(List.of(words));
    json.add("--json");
    JsonNode rows = new ObjectMapper().readTree(bench(json.toArray()).json());
    List<String> told = new ArrayList<>();
    for (JsonNode row : rows) {
      told.add(row.get("test").textValue() + " x " + row.get("batch"));
    }
    assertEquals(
        List.of("pp8 x 1", "tg8 x 1", "tg8 x 3", "pp8 @ d70 x 1", "tg8 @ d70 x 1", "tg8 @ d70 x 3"),
        told);
    JsonNode alone = rows.get(4);
    JsonNode together = rows.get(5);
    assertEquals(
        3 * alone.get("cache_bytes_held").longValue(),
        together.get("cache_bytes_held").longValue());
    for (String part : List.of("cache_bytes", "float_multiply_adds")) {
      assertEquals(
          3 * alone.get("work").get(part).doubleValue(),
          together.get("work").get(part).doubleValue());
    }
    assertEquals(alone.get("work").get("weight_bytes"), together.get("work").get("weight_bytes"));
    List<String> lines = bench(words).ok().out().lines().skip(2).toList();
    assertEquals("batch", cells(lines.get(0)).get(5));
    assertEquals("3", cells(lines.get(7)).get(5));
  }

  @Test
  void aProfileIsTimeByOperation() throws IOException {
    Cli run = bench("-p", 32, "-n", 8, "-d", 0, "-r", 1, "--profile", "--json");
    for (JsonNode row : new ObjectMapper().readTree(run.json())) {
      JsonNode profile = row.get("profile");
      assertEquals(
          row.get("prompt").intValue() + row.get("gen").intValue(),
          profile.get("tokens").intValue());
      assertEquals(12, profile.get("operations").size());
      double told =
          profile.get("waiting_seconds").doubleValue() + profile.get("other_seconds").doubleValue();
      for (JsonNode each : profile.get("operations")) {
        told += each.get("seconds").doubleValue();
      }
      assertEquals(profile.get("seconds").doubleValue(), told, 1e-6);
    }
    String out = bench("-p", 0, "-n", 8, "-d", 0, "-r", 1, "--profile").ok().out();
    for (String word :
        List.of("attention", "MLP down", "LM head", "sampling", "waiting at barriers")) {
      assertTrue(out.lines().anyMatch(line -> line.startsWith(word + " ")), word + " in " + out);
    }
    assertFalse(out.contains("absorbed"), "a plain model has nothing to absorb: " + out);
  }

  @Test
  void theTableIsMarkdownWithTheRooflineAndMemory() {
    StringWriter out = new StringWriter();
    BenchTable table =
        new BenchTable(new PrintWriter(out), MACHINE, ROOFLINE, List.of("a model"), false);
    table.row(row(new BenchCase(0, 64, 4096, 1), Optional.empty(), 40.0, 60.0));
    table.row(row(new BenchCase(512, 0, 0, 1), Optional.empty(), 1234.567));
    table.finish();
    List<String> lines = out.toString().lines().toList();
    assertEquals(
        "A CPU, avx2, 2 threads: reads 20.0 GB/s, multiplies and adds 100.0 G floats/s, 400.0 G "
            + "integers/s",
        lines.get(0));
    assertEquals("", lines.get(1));
    // 64 tokens at 50 a second take 1.28 s; reading 16 GB takes 0.8 s of them.
    assertEquals(
        List.of(
            "a model",
            "1.00 MiB",
            "1.50 M",
            "f16",
            "2",
            "tg64 @ d4096",
            "50.00 ± 14.14",
            "63 % memory",
            "640.5",
            "4.00 KiB",
            "3.00 GiB"),
        cells(lines.get(4)));
    assertEquals("1234.57 ± 0.00", cells(lines.get(5)).get(6));
    assertEquals(cells(lines.get(2)).size(), cells(lines.get(4)).size());
    for (int i : new int[] {3, 4, 5}) {
      assertEquals(lines.get(2).length(), lines.get(i).length(), out.toString());
    }
    assertTrue(lines.get(3).matches("\\| -+ \\| -+: \\|.*"), lines.get(3));
  }

  @Test
  void aProfilesTableAddsUpToTheWhole() {
    // 4 tokens in 8 ms.
    Profile profile =
        new Profile(
            2,
            4,
            4,
            8e-3,
            List.of(
                new OperationProfile("attention", 4e-3, 1e-3, new Work(0, 40e6, 1e6, 0)),
                new OperationProfile("absorbed projections", 0, 0, Work.NONE),
                new OperationProfile("sampling", 2e-3, 0, Work.NONE)));
    StringWriter out = new StringWriter();
    BenchTable table =
        new BenchTable(new PrintWriter(out), MACHINE, ROOFLINE, List.of("a model"), false);
    table.row(row(new BenchCase(0, 4, 0, 1), Optional.of(profile), 40.0));
    table.finish();
    List<String> lines =
        out.toString().lines().map(line -> line.replaceAll(" {2,}", "|")).skip(6).toList();
    assertEquals(
        List.of(
            "a model, f16, tg4",
            "",
            "operation|µs/token|share|waiting|MB/token|M madds/token|of roofline",
            "attention|1000.0|50.0 %|250.0|10.0|0.250|40 %",
            "sampling|500.0|25.0 %|0.000",
            "waiting at barriers|250.0|12.5 %",
            "waking threads, planning|250.0|12.5 %",
            "all|2000.0|100.0 %|10.0|0.250|25 %"),
        lines);
  }

  @Test
  void sizesAreShort() {
    assertEquals("512 B", BenchTable.bytes(512));
    assertEquals("1.50 KiB", BenchTable.bytes(1536));
    assertEquals("105.44 MiB", BenchTable.bytes(105.44 * 1024 * 1024));
    assertEquals("4096.00 GiB", BenchTable.bytes(4096.0 * (1 << 30)));
    assertEquals("999", BenchTable.count(999));
    assertEquals("260.03 K", BenchTable.count(260_032));
    assertEquals("6.74 B", BenchTable.count(6.74e9));
  }

  @Test
  void wrongUseIsRefused() {
    Cli.run("bench").fails(2, "MODEL");
    Path missing = folder.resolve("missing.gguf");
    Cli.run("bench", Cli.stories(), missing).fails(1, "missing.gguf");
    bench("--cache", "f16,int3").fails(2, "--cache", "int3", "int8");
    bench("--cache", "latent=int4,size=1").fails(2, "--cache", "size", "residual");
    bench("-p", -1).fails(2, "-p", "-1", "at least 0");
    bench("-n", "8,x").fails(2, "--n-gen", "x");
    bench("-d", "0,-1").fails(2, "-d", "-1", "at least 0");
    bench("-r", 0).fails(2, "-r", "at least 1");
    bench("-t", 0).fails(2, "--threads", "at least 1");
    bench("-p", 0, "-n", 0).fails(2, "-p", "-n", "both 0");
    bench("-p", 513, "-n", 0, "-d", 0).fails(2, "nothing is left", "context of 512", "pp513");
    bench("--batch", "1,0").fails(2, "--batch is 0", "1 to 1024");
    bench("--batch", 2000).fails(2, "--batch is 2000", "1 to 1024");
    Cli refused = bench("--device", "cuda:9999");
    refused.fails(1, "CUDA");
    assertEquals("", refused.out(), "it says so before it measures anything");
  }

  private static Cli bench(Object... options) {
    List<Object> words = new ArrayList<>(List.of("bench", Cli.stories()));
    words.addAll(List.of(options));
    return Cli.run(words.toArray());
  }

  /** Reads 16 GB, multiplies little. */
  private static BenchRow row(BenchCase test, Optional<Profile> profile, Double... samples) {
    return new BenchRow(
        "a model",
        1_500_000,
        1 << 20,
        "f16",
        test,
        List.of(samples),
        new Work(15e9, 1e9, 1e9, 1e9),
        640.5,
        4096,
        3L << 30,
        profile);
  }

  private static List<String> cells(String line) {
    return List.of(line.substring(2, line.length() - 2).split("\\|")).stream()
        .map(String::strip)
        .toList();
  }
}
