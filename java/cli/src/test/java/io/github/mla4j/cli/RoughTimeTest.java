package io.github.mla4j.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class RoughTimeTest {
  @ParameterizedTest
  @CsvSource({
    "0, 1 s",
    "1, 1 s",
    "119, 119 s",
    "120, 2 min",
    "149, 2 min",
    "150, 3 min",
    "7169, 119 min",
    "7170, 2 h 0 min",
    "7529, 2 h 5 min",
    "90000, 25 h 0 min"
  })
  void roundsAsLongAsItIs(long seconds, String expected) {
    assertEquals(expected, RoughTime.of(seconds));
  }
}
