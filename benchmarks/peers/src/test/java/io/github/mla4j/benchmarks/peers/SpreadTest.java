package io.github.mla4j.benchmarks.peers;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import org.junit.jupiter.api.Test;

class SpreadTest {
  @Test
  void medianAndTheFurthestFromIt() {
    assertEquals(new Spread(3, 4), Spread.of(List.of(7.0, 1.0, 3.0)));
    assertEquals(new Spread(3, 2), Spread.of(List.of(1.0, 4.0, 3.0)));
    assertEquals(new Spread(2.5, 1.5), Spread.of(List.of(4.0, 2.0, 3.0, 1.0)));
    assertEquals(new Spread(5, 0), Spread.of(List.of(5.0)));
  }

  @Test
  void isWrittenTheSameInEveryLocale() {
    assertEquals("312.5 ± 4.0", new Spread(312.46, 4).toString());
  }
}
