package io.github.mla4j.benchmarks.peers;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.util.List;
import org.junit.jupiter.api.Test;

class ReportTest {
  private static final StepPlan PLAN = new StepPlan(List.of(512), 48, List.of(0));

  private final Run run = Runs.empty(PLAN, Peer.MLA4J, Peer.LLAMA_CPP, Peer.JAVA_LLAMA, Peer.JLAMA);

  ReportTest() {
    run.loads().addAll(List.of(0.1, 0.2, 0.3));
    Runs.add(run, "mla4j f16", "pp512", 900, 1000, 1010);
    Runs.add(run, "mla4j f16", "tg @ 0", 300);
    Runs.add(run, "mla4j int4", "tg @ 0", 320);
    Runs.add(run, "llama.cpp f16", "pp512", 200);
    Runs.add(run, "llama.cpp f16", "tg @ 0", 100);
    Runs.add(run, "llama.cpp f16 flash", "tg @ 0", 150);
    Runs.add(run, "llama.cpp q8_0 flash", "tg @ 0", 160);
    Runs.add(run, "jlama f32", "tg @ 0", 30);
    run.absent().put(Peer.JAVA_LLAMA, "no such package");
    run.failures().put(Runs.find(run, "llama.cpp q4_0 flash"), "it ended with status 139");
  }

  @Test
  void tellsMediansWithTheirSpreadAndWhatWasNotMeasured() {
    String report = Report.of(run);
    assertHas(report, "| mla4j | source | f16 | 1000.0 ± 100.0 | 300.0 ± 0.0 |");
    assertHas(report, "| llama.cpp | source | q8_0 flash |  | 160.0 ± 0.0 |");
    assertHas(report, "- java-llama.cpp: no such package");
    assertHas(report, "- llama.cpp q4_0 flash: it ended with status 139");
    assertHas(report, "Load before each round: 0.1, 0.2, 0.3.");
    assertFalse(report.contains("conversion f16"), report);
  }

  @Test
  void dividesByTheSameTypeForF16AndByTheFastestElse() {
    String report = Report.of(run);
    assertHas(report, "| source f16 | llama.cpp | f16 | 5.00 | 2.00 |");
    assertHas(report, "| source int4 | llama.cpp | fastest |  | 2.00 |");
    assertHas(report, "| source f16 | jlama | fastest |  | 10.00 |");
  }

  @Test
  void jsonHasEverySample() throws IOException {
    JsonNode json = new ObjectMapper().readTree(ReportJson.of(run));
    JsonNode row = json.get("rows").get(0);
    assertEquals("mla4j", row.get("peer").asText());
    assertEquals(512, row.get("tokens").asInt());
    assertEquals("[900.0,1000.0,1010.0]", row.get("samples").toString());
    assertEquals(8, json.get("rows").size());
    assertEquals(2, json.get("not_measured").size());
  }

  @Test
  void instructionSetsThatAreOffAreNotTold() {
    assertEquals(
        "AVX2, F16C", new Run.Engine("x", "CPU : AVX2 = 1 | AVX512 = 0 | F16C = 1 | ").features());
    assertEquals("Panama", new Run.Engine("x", "Panama").features());
  }

  private static void assertHas(String report, String line) {
    assertTrue(
        report.lines().anyMatch(l -> l.contains(line)), () -> line + " is not in\n" + report);
  }
}
