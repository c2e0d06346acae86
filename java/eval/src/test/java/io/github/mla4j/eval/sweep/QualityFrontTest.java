package io.github.mla4j.eval.sweep;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;

final class QualityFrontTest {
  private static final SweepEntry WHOLE = Sweeps.entry("a", "f16", 100, 10);
  private static final SweepEntry HALF = Sweeps.entry("a", "int8", 50, 11);
  private static final SweepEntry WORSE = Sweeps.entry("b", "f16", 60, 12);
  private static final SweepEntry BROKEN = Sweeps.entry("b", "int2", 1, Double.NaN);

  @Test
  void whatIsBeatenInBothIsNotOnIt() {
    assertEquals(List.of(HALF, WHOLE), QualityFront.of(List.of(WHOLE, WORSE, BROKEN, HALF)));
    assertTrue(QualityFront.of(List.of(BROKEN)).isEmpty());
    assertTrue(QualityFront.of(List.of()).isEmpty());
  }

  @Test
  void tiesInOneAreDecidedByTheOther() {
    SweepEntry sameBytes = Sweeps.entry("b", "int8", 50, 11.5);
    SweepEntry samePerplexity = Sweeps.entry("b", "f16", 70, 11);
    assertEquals(
        List.of(HALF, WHOLE), QualityFront.of(List.of(sameBytes, samePerplexity, WHOLE, HALF)));
    assertEquals(HALF, QualityFront.best(List.of(samePerplexity, HALF), 80).orElseThrow());
  }

  @Test
  void tiesInBothAreAllOnIt() {
    SweepEntry same = Sweeps.entry("b", "int8", 50, 11);
    assertEquals(List.of(HALF, same, WHOLE), QualityFront.of(List.of(WHOLE, HALF, same)));
  }

  /** By the definition, on random choices of few different values. */
  @Test
  void isThatOfTheDefinition() {
    Random random = new Random(1);
    for (int time = 0; time < 200; time++) {
      List<SweepEntry> entries = new ArrayList<>();
      for (int i = 0; i < 8; i++) {
        entries.add(Sweeps.entry("m" + i, "f16", random.nextInt(5), 10 + random.nextInt(5)));
      }
      List<SweepEntry> front = QualityFront.of(entries);
      for (SweepEntry entry : entries) {
        boolean beaten = entries.stream().anyMatch(other -> beats(other, entry));
        assertEquals(!beaten, front.contains(entry), entries.toString());
      }
      Collections.shuffle(entries, random);
      assertEquals(Set.copyOf(front), Set.copyOf(QualityFront.of(entries)));
    }
  }

  @Test
  void theBestChoiceIsWithinTheBytes() {
    List<SweepEntry> all = List.of(BROKEN, WHOLE, WORSE, HALF);
    assertEquals(WHOLE, QualityFront.best(all, 100).orElseThrow());
    assertEquals(HALF, QualityFront.best(all, 99.9).orElseThrow());
    assertEquals(HALF, QualityFront.best(all, 50).orElseThrow());
    assertTrue(QualityFront.best(all, 49.9).isEmpty());
    assertEquals(HALF, QualityFront.smallest(all).orElseThrow());
  }

  private static boolean beats(SweepEntry one, SweepEntry other) {
    double perplexity = one.quality().perplexity();
    double others = other.quality().perplexity();
    return one.bytesPerToken() <= other.bytesPerToken()
        && perplexity <= others
        && (one.bytesPerToken() < other.bytesPerToken() || perplexity < others);
  }
}
