package io.github.mla4j.eval.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.mla4j.Roofline;
import io.github.mla4j.Work;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

final class BenchRowTest {
  private static final Roofline ROOFLINE = new Roofline(2, 20e9, 100e9, 400e9);

  @Test
  void meanAndDeviationOfTheSamples() {
    BenchRow row =
        row(new BenchCase(0, 10, 0, 1), Work.NONE, 2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0);
    assertEquals(5, row.tokensPerSecond(), 1e-12);
    assertEquals(Math.sqrt(32.0 / 7), row.standardDeviation(), 1e-12);
    assertEquals(0, row(new BenchCase(0, 10, 0, 1), Work.NONE, 3.0).standardDeviation());
  }

  /** 10 tokens at 50 a second take 0.2 s; reading 1 GB takes 0.05 s, multiplying 0.02. */
  @Test
  void theShareIsTheLeastTimeByTheTimeTaken() {
    Work reads = new Work(0.6e9, 0.4e9, 1e9, 4e9);
    BenchRow row = row(new BenchCase(0, 10, 0, 1), reads, 40.0, 60.0);
    assertEquals(0.25, row.rooflineShare(ROOFLINE), 1e-12);
    assertTrue(row.isBoundByMemory(ROOFLINE));
    Work multiplies = new Work(0.6e9, 0.4e9, 10e9, 4e9);
    BenchRow other = row(new BenchCase(10, 0, 0, 1), multiplies, 50.0);
    assertEquals(0.55, other.rooflineShare(ROOFLINE), 1e-12);
    assertFalse(other.isBoundByMemory(ROOFLINE));
  }

  @Test
  void tokensOfAllSequencesCount() {
    Work reads = new Work(1e9, 0, 0, 0);
    BenchRow row = row(new BenchCase(0, 10, 0, 4), reads, 200.0);
    assertEquals(0.25, row.rooflineShare(ROOFLINE), 1e-12);
  }

  private static BenchRow row(BenchCase test, Work work, Double... samples) {
    return new BenchRow("m", 1, 1, "f16", test, List.of(samples), work, 1, 1, 0, Optional.empty());
  }
}
