package io.github.mla4j.eval.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.mla4j.CacheOptions;
import io.github.mla4j.CacheType;
import io.github.mla4j.CancelledException;
import io.github.mla4j.Model;
import io.github.mla4j.OperationProfile;
import io.github.mla4j.Profile;
import io.github.mla4j.Session;
import io.github.mla4j.Work;
import io.github.mla4j.eval.Stories;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

final class BenchTest {
  /** What a benchmark told. */
  private static final class Told implements Bench.Listener {
    private final List<BenchRow> rows = new ArrayList<>();
    private long work;
    private String last = "";

    @Override
    public void done(long more, String of) {
      work += more;
      last = of;
    }

    @Override
    public void row(BenchRow row) {
      rows.add(row);
    }
  }

  @Test
  void everyCaseThatFitsGetsItsRow() {
    BenchSettings settings = settings(List.of(32), List.of(8), List.of(490, 0, 64), 2, false);
    Told told = new Told();
    try (Model model = Stories.open()) {
      new Bench(settings, told).measure("stories", model, CacheOptions.of(CacheType.INT4));
      assertEquals(
          List.of("pp32", "tg8", "pp32 @ d64", "tg8 @ d64", "tg8 @ d490"),
          told.rows.stream().map(row -> row.test().label()).toList());
      for (BenchRow row : told.rows) {
        assertEquals("stories", row.model());
        assertEquals("int4", row.cache());
        assertEquals(2, row.samples().size());
        assertTrue(row.tokensPerSecond() > 0 && row.standardDeviation() >= 0, row.toString());
        assertEquals(
            model.cacheBytesPerToken(CacheOptions.of(CacheType.INT4)), row.cacheBytesPerToken());
        assertTrue(row.profile().isEmpty());
      }
      // Whole pages of 64 tokens: 72 tokens take two, 8 one.
      assertTrue(told.rows.get(3).cacheBytes() > told.rows.get(1).cacheBytes());
      assertEquals(Bench.work(settings, model.info().contextLength()), told.work);
      assertEquals("stories, int4, tg8 @ d490", told.last);
    }
  }

  @Test
  void theWorkOfTokensIsThatOfTheirDepths() {
    Told told = new Told();
    try (Model model = Stories.open();
        Session session = model.newSession()) {
      new Bench(settings(List.of(5), List.of(3), List.of(100), 1, false), told)
          .measure("stories", model, CacheOptions.defaults());
      assertEquals(session.countWork(100, 5), told.rows.get(0).work());
      Work three =
          session.countWork(100, 1).plus(session.countWork(101, 1)).plus(session.countWork(102, 1));
      assertEquals(three, told.rows.get(1).work());
    }
  }

  @Test
  void aProfileIsOfTheCase() {
    Told told = new Told();
    try (Model model = Stories.open()) {
      new Bench(settings(List.of(32), List.of(200), List.of(0, 9), 1, true), told)
          .measure("stories", model, CacheOptions.defaults());
      for (BenchRow row : told.rows) {
        Profile profile = row.profile().orElseThrow();
        assertEquals(row.test().tokens(), profile.tokens(), "the end of a text ends nothing");
        double sampling = profile.operations().get(11).seconds();
        assertEquals(!row.test().isPrompt(), sampling > 0);
        Work sum = sum(profile);
        assertEquals(row.work().bytes(), sum.bytes(), 1e-9 * sum.bytes());
        assertEquals(row.work().multiplyAdds(), sum.multiplyAdds(), 1e-9 * sum.multiplyAdds());
      }
    }
  }

  private static Work sum(Profile profile) {
    return profile.operations().stream().map(OperationProfile::work).reduce(Work.NONE, Work::plus);
  }

  /** A window in f16, and a depth of several pages. */
  @Test
  void sequencesGoOnTogether() {
    Told told = new Told();
    BenchSettings settings =
        new BenchSettings(List.of(0), List.of(40), List.of(0, 200), List.of(2, 5), 2, 2, true);
    try (Model model = Stories.open()) {
      new Bench(settings, told).measure("stories", model, CacheOptions.of(CacheType.INT4));
      assertEquals(List.of(2, 5, 2, 5), told.rows.stream().map(row -> row.test().batch()).toList());
      for (BenchRow row : told.rows) {
        assertEquals(2, row.samples().size());
        assertTrue(row.tokensPerSecond() > 0, row.toString());
        Profile profile = row.profile().orElseThrow();
        assertEquals(40, profile.steps());
        assertEquals(40L * row.test().batch(), profile.tokens());
        Work sum = sum(profile);
        assertEquals(row.work().cacheBytes(), sum.cacheBytes(), 1e-9 * sum.cacheBytes());
        assertEquals(row.work().multiplyAdds(), sum.multiplyAdds(), 1e-9 * sum.multiplyAdds());
        // Each sequence reads a row of the embedding of its own.
        double rows = 40.0 * (row.test().batch() - 1) * 64 * Float.BYTES;
        assertEquals(row.work().weightBytes() + rows, sum.weightBytes());
      }
      assertEquals(2.5 * told.rows.get(2).cacheBytes(), told.rows.get(3).cacheBytes());
      assertTrue(told.rows.get(2).cacheBytes() > told.rows.get(0).cacheBytes());
      assertEquals(Bench.work(settings, model.info().contextLength()), told.work);
    }
  }

  /** As Ctrl-C does after the first row. */
  @Test
  void aStopEndsItAndLeavesTheRows() {
    BenchSettings settings = settings(List.of(32), List.of(8), List.of(0), 1, false);
    Told told = new Told();
    Bench[] bench = new Bench[1];
    bench[0] =
        new Bench(
            settings,
            new Bench.Listener() {
              @Override
              public void done(long work, String of) {}

              @Override
              public void row(BenchRow row) {
                told.row(row);
                bench[0].stop();
              }
            });
    try (Model model = Stories.open()) {
      assertThrows(
          CancelledException.class,
          () -> bench[0].measure("stories", model, CacheOptions.defaults()));
      assertEquals(1, told.rows.size());
      assertThrows(
          CancelledException.class,
          () -> bench[0].measure("stories", model, CacheOptions.defaults()));
    }
  }

  private static BenchSettings settings(
      List<Integer> prompts,
      List<Integer> gens,
      List<Integer> depths,
      int repetitions,
      boolean profiled) {
    return new BenchSettings(prompts, gens, depths, List.of(1), repetitions, 2, profiled);
  }
}
