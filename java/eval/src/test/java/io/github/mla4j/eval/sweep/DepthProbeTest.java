package io.github.mla4j.eval.sweep;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.mla4j.CacheType;
import io.github.mla4j.Model;
import io.github.mla4j.Session;
import io.github.mla4j.eval.Stories;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

final class DepthProbeTest {
  /** Depths so close that the session begins again, and one at the context's end. */
  @Test
  void measuresEveryDepthWithinTheContext() {
    List<Integer> depths = List.of(400, 0, 10);
    try (Model model = Stories.open()) {
      int context = DepthProbe.context(depths, model.info().contextLength());
      assertEquals(512, context);
      try (Session session =
          model.newSession(options -> options.cache(CacheType.INT4).contextLength(context))) {
        AtomicLong work = new AtomicLong();
        List<DepthSpeed> speeds =
            DepthProbe.measure(session, context, new int[] {1, 2, 3}, depths, work::addAndGet);
        assertEquals(List.of(0, 10, 400), speeds.stream().map(DepthSpeed::depth).toList());
        assertEquals(
            List.of(479, 469, 79), speeds.stream().map(DepthSpeed::prefilledTokens).toList());
        for (DepthSpeed speed : speeds) {
          assertTrue(speed.prefillTokensPerSecond() > 0 && speed.cacheBytes() > 0);
          assertTrue(speed.decodeLow() <= speed.decodeTokensPerSecond());
          assertTrue(speed.decodeHigh() >= speed.decodeTokensPerSecond());
        }
        assertEquals(DepthProbe.work(depths, 512), work.get());
        assertEquals(512, session.length());
      }
    }
  }

  @Test
  void roomIsForATokenThirtyTwoMoreAndAFewTogether() {
    assertTrue(DepthProbe.fits(512 - 97, 512));
    assertFalse(DepthProbe.fits(512 - 96, 512));
    assertEquals(1000 + 545, DepthProbe.context(List.of(1000, 0), 4096));
  }
}
