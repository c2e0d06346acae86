package io.github.mla4j;

import static io.github.mla4j.bindings.global.mla.mla_status_name;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.Test;

class MlaTest {
  @Test
  void theLibraryTellsWhatItIs() {
    SystemInfo info = Mla.systemInfo();
    assertEquals(Mla.version(), info.version());
    assertTrue(info.version().matches("\\d+\\.\\d+\\.\\d+"), info.version());
    assertTrue(info.cores() >= 1, info.json());
    assertTrue(info.threads() >= 1, info.json());
    assertFalse(info.isa().isEmpty(), info.json());
    assertFalse(info.isaReason().isEmpty(), info.json());
    assertTrue(info.isas().contains(info.isa()), info.json());
    assertTrue(info.backends().contains("cpu"), info.json());
    assertEquals(info.gpus().isEmpty(), !info.gpuReason().isEmpty(), info.json());
    assertEquals(
        info.gpus().stream().anyMatch(gpu -> gpu.problem().isEmpty()),
        info.backends().contains("cuda"),
        info.json());
  }

  @Test
  void theRooflineIsMeasuredWithTheThreadsAskedFor() {
    Roofline roofline = Mla.measureRoofline(2);
    assertEquals(2, roofline.threads());
    for (double speed :
        new double[] {
          roofline.bytesPerSecond(),
          roofline.floatMultiplyAddsPerSecond(),
          roofline.integerMultiplyAddsPerSecond()
        }) {
      assertTrue(speed > 0 && Double.isFinite(speed), roofline.toString());
    }
    for (int threads : new int[] {0, -1, 1_000_000}) {
      String words = "threads is " + threads;
      RuntimeException refused =
          assertThrows(RuntimeException.class, () -> Mla.measureRoofline(threads));
      assertTrue(refused.getMessage().contains(words), refused.getMessage());
    }
  }

  @Test
  void statusesAreTheNativeOnes() {
    for (Status status : Status.values()) {
      String name = mla_status_name(status.ordinal()).getString(StandardCharsets.UTF_8);
      String words = status.name().toLowerCase(Locale.ROOT).replace('_', ' ');
      assertTrue(name.startsWith(words) || status == Status.IO, name); // "input/output error"
    }
    assertEquals("unknown status", mla_status_name(Status.values().length).getString());
    assertEquals(Status.INTERNAL, Status.ofCode(99));
  }

  @Test
  void aLoggerHearsAndCanBeRemoved() {
    List<String> heard = new CopyOnWriteArrayList<>();
    Mla.setLogger((level, message) -> heard.add(level + " " + message));
    try {
      Model.load(SharedFiles.stories()).close();
    } finally {
      Mla.removeLogger();
    }
    int count = heard.size();
    Model.load(SharedFiles.stories()).close();
    assertEquals(count, heard.size());
    for (String message : heard) {
      assertTrue(message.matches("(DEBUG|INFO|WARNING) .+"), message);
    }
  }
}
