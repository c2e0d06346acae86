package io.github.mla4j.eval.sweep;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.mla4j.BadFileException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** JSON, CSV and HTML. */
final class SweepReportsTest {
  private static final Pattern TAG =
      Pattern.compile("<(/?)([a-zA-Z0-9]+)((?:[^<>\"]|\"[^\"<]*\")*)>");

  @TempDir private Path folder;

  @Test
  void jsonIsReadAsItWasWritten() throws IOException {
    Path file = folder.resolve("sweep.json");
    assertEquals(Optional.empty(), SweepFile.read(file));
    Sweep sweep = Sweeps.large();
    SweepFile.replace(file, SweepFile.json(sweep));
    assertEquals(sweep, SweepFile.read(file).orElseThrow());
    try (var files = Files.list(folder)) {
      assertEquals(1, files.count());
    }
  }

  @Test
  void jsonTellsWhatFollows() {
    Sweep sweep =
        Sweeps.of(
            Sweeps.settings(List.of("f16", "int2"), List.of()),
            List.of(Sweeps.model("source")),
            List.of(
                Sweeps.entry("source", "f16", 100, 10),
                Sweeps.entry("source", "int2", 25, Double.NaN)));
    String json = SweepFile.jsonLineWithBest(sweep, 60);
    assertTrue(json.contains("\"share_of_source_f16\":0.25,"), json);
    assertTrue(json.contains("\"perplexity\":null,") && !json.contains("NaN"), json);
    assertTrue(
        json.endsWith("\"best\":{\"within_bytes_per_token\":60.0,\"model\":null,\"cache\":null}}"));
    assertTrue(SweepFile.jsonLineWithBest(sweep, 100).endsWith("\"cache\":\"f16\"}}"), json);
  }

  @Test
  void noNumberIsReadBackAsNone() throws IOException {
    Path file = folder.resolve("sweep.json");
    Sweep sweep =
        Sweeps.of(
            Sweeps.settings(List.of("f16"), List.of()),
            List.of(Sweeps.model("source")),
            List.of(Sweeps.entry("source", "f16", 100, Double.NaN)));
    SweepFile.replace(file, SweepFile.json(sweep));
    assertEquals(sweep, SweepFile.read(file).orElseThrow());
  }

  @Test
  void whatIsNoSweepIsNamed() throws IOException {
    Path file = folder.resolve("sweep.json");
    String good = SweepFile.json(Sweeps.large());
    for (String bad :
        List.of(
            "",
            "[]",
            "text",
            good.substring(0, good.length() / 2),
            good.replace("\"format\" : 1", "\"format\" : 2"),
            good.replace("\"cache\"", "\"cash\""),
            good.replace("\"threads\" : 2", "\"threads\" : \"some\""))) {
      Files.writeString(file, bad);
      Exception error = assertThrows(BadFileException.class, () -> SweepFile.read(file), bad);
      assertTrue(error.getMessage().startsWith(file + ": "), error.getMessage());
    }
  }

  @Test
  void csvQuotesWhatWouldBeTwoCells() {
    assertEquals("int4", SweepCsv.quoted("int4"));
    assertEquals("\"latent=int4,rope=int8\"", SweepCsv.quoted("latent=int4,rope=int8"));
    assertEquals("\"a \"\"b\"\"\"", SweepCsv.quoted("a \"b\""));
    assertEquals("\"a\nb\"", SweepCsv.quoted("a\nb"));
  }

  @Test
  void csvHasALineForEveryPair() {
    Sweep sweep =
        Sweeps.of(
            Sweeps.settings(List.of("f16", "int8"), List.of(0, 9000)),
            List.of(Sweeps.model("source")),
            List.of(
                Sweeps.entry("source", "f16", 100, 10, List.of(0)),
                Sweeps.entry("source", "int8", 50, Double.NaN)));
    List<String> lines = SweepCsv.of(sweep).lines().toList();
    assertEquals(3, lines.size());
    assertTrue(
        lines.get(0).endsWith("prefill_tokens_per_second_at_0,prefill_tokens_per_second_at_9000"));
    assertTrue(lines.get(1).startsWith("source,f16,100.0,99.0,1.0,16.0,10.0,0.5,"), lines.get(1));
    assertTrue(lines.get(1).endsWith(",true,1049600,16777216,50.0,,1000.0,"), lines.get(1));
    assertTrue(lines.get(2).startsWith("source,int8,50.0,49.0,0.5,8.0,,0.5,"), lines.get(2));
    int columns = lines.get(0).split(",", -1).length;
    lines.forEach(line -> assertEquals(columns, line.split(",", -1).length, line));
  }

  @Test
  void thePageIsWholeAndAlone() {
    String page = SweepPage.of(Sweeps.large());
    assertBalanced(page);
    assertFalse(Pattern.compile("https?:|<script|<link|<img|@import|url\\(").matcher(page).find());
    for (String part :
        List.of(
            "name=\"viewport\"",
            "@media print",
            "prefers-color-scheme: dark",
            "<title>",
            "<desc")) {
      assertTrue(page.contains(part), part);
    }
    assertEquals(4, count(page, "role=\"img\""));
    assertEquals(2 * 12, count(page, "<th scope=\"row\">"));
    assertEquals(2 * Sweeps.large().front().size(), count(page, "class=\"on-front\""));
    assertFalse(page.contains("NaN") || page.contains("Infinity"));
  }

  /** One result, none, no speed, no number: nothing to span an axis. */
  @Test
  void thePageOfLittleIsWholeToo() {
    SweepSettings settings = Sweeps.settings(List.of("f16", "int8"), List.of(0));
    List<SweepModel> models = List.of(Sweeps.model("source"));
    for (List<SweepEntry> results :
        List.of(
            List.<SweepEntry>of(),
            List.of(Sweeps.entry("source", "f16", 100, 10)),
            List.of(Sweeps.entry("source", "f16", 100, 10, List.of(0))),
            List.of(Sweeps.entry("source", "f16", 100, Double.NaN)))) {
      String page = SweepPage.of(Sweeps.of(settings, models, results));
      assertBalanced(page);
      assertTrue(page.contains("of 2 pairs are measured"), page);
      assertFalse(page.contains("NaN") || page.contains("Infinity"), page);
    }
  }

  @Test
  void thePageEscapesNames() {
    String name = "<b>\"a\" & 'b'</b>";
    Sweep sweep =
        Sweeps.of(
            Sweeps.settings(List.of("f16"), List.of(0)),
            List.of(Sweeps.model(name)),
            List.of(Sweeps.entry(name, "f16", 100, 10, List.of(0))));
    String page = SweepPage.of(sweep);
    assertFalse(page.contains("<b>"), page);
    assertTrue(page.contains("&lt;b&gt;&quot;a&quot; &amp; &#39;b&#39;&lt;/b&gt;"), page);
    assertBalanced(page);
  }

  /** Labels of the front lie on no mark and on no other label. */
  @Test
  void labelsAreWrittenWhereThereIsRoom() {
    PlotLabels labels = new PlotLabels(0, 0, 100, 100);
    labels.mark(50, 50, 5);
    assertTrue(labels.place("int8", 50, 50).isPresent());
    PlotLabels narrow = new PlotLabels(0, 0, 20, 20);
    assertTrue(narrow.place("latent=int8", 10, 10).isEmpty());
    int placed = 0;
    for (int i = 0; i < 20; i++) {
      placed += labels.place("int4", 50, 50).isPresent() ? 1 : 0;
    }
    assertTrue(placed > 0 && placed < 8, placed + " places around one mark");
  }

  private static void assertBalanced(String page) {
    Deque<String> open = new ArrayDeque<>();
    Matcher tag = TAG.matcher(page);
    int end = page.indexOf("<html");
    while (tag.find()) {
      String between = tag.start() < end ? "" : page.substring(end, tag.start());
      assertFalse(between.contains("<"), between);
      assertTrue(between.replaceAll("&(amp|lt|gt|quot|#39);", "").indexOf('&') < 0, between);
      end = tag.end();
      if (!tag.group(1).isEmpty()) {
        assertEquals(tag.group(2), open.pop());
      } else if (!tag.group(3).endsWith("/")) {
        open.push(tag.group(2));
      }
    }
    assertTrue(open.isEmpty(), open.toString());
  }

  private static int count(String text, String part) {
    return text.split(Pattern.quote(part), -1).length - 1;
  }
}
