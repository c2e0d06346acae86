package io.github.mla4j.cli;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

final class InterruptsTest {
  @Test
  void theFirstInterruptStopsWhatGoesOnAndTheProcessLives() throws Exception {
    CtrlC.assumeHeard();
    Semaphore stopped = new Semaphore(0);
    try (Interrupts interrupts = Interrupts.stopping(stopped::release)) {
      for (int time = 0; time < 2; time++) {
        interrupts.arm();
        assertFalse(interrupts.happened());
        CtrlC.press();
        assertTrue(stopped.tryAcquire(10, TimeUnit.SECONDS));
        assertTrue(interrupts.happened());
      }
    }
  }
}
