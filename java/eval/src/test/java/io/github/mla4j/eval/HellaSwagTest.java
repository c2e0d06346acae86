package io.github.mla4j.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.mla4j.CacheType;
import io.github.mla4j.Model;
import io.github.mla4j.Session;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

final class HellaSwagTest {
  /** The likeliest as a whole, by character and by token, in this order. */
  private static final List<String> ENDINGS =
      List.of("a time.", "a little girl named Lily", "a time, a bunny", "zq.");

  /** The oracle scores each whole text from an empty cache. */
  @Test
  void theLikeliestEndingIsThatOfTheWholeTexts() {
    try (Model model = Stories.open();
        Session session = model.newSession(options -> options.cache(CacheType.F32))) {
      String context = "Once upon";
      double[] sums = new double[ENDINGS.size()];
      int[] tokens = new int[ENDINGS.size()];
      int before = model.tokenizer().encode(context, true, false).length;
      for (int i = 0; i < sums.length; i++) {
        session.rewind(0);
        int[] all = model.tokenizer().encode(context + " " + ENDINGS.get(i), true, false);
        float[] scores = session.score(all);
        tokens[i] = all.length - before;
        for (int at = before - 1; at < scores.length; at++) {
          sums[i] += scores[at];
        }
      }
      EndingScores scores =
          EndingScores.of(session, model.tokenizer(), task(context, ENDINGS), 512);
      assertEquals(best(sums), scores.likeliest());
      assertEquals(
          best(IntStream.range(0, 4).mapToDouble(i -> sums[i] / tokens[i]).toArray()),
          scores.likeliestByToken());
      assertEquals(
          best(IntStream.range(0, 4).mapToDouble(i -> sums[i] / ENDINGS.get(i).length()).toArray()),
          scores.likeliestByCharacter());
      assertEquals(0, scores.likeliest());
      assertEquals(1, scores.likeliestByCharacter());
      assertEquals(2, scores.likeliestByToken());
    }
  }

  @Test
  void longContextsLoseTheirBeginningAndNoRoomAtAllIsAnError() {
    try (Model model = Stories.open();
        Session session = model.newSession(options -> options.contextLength(64))) {
      HellaSwagTask task = task(Stories.TEXT.repeat(5), List.of("She.", "He.", "It.", "zq."));
      HellaSwag measured =
          HellaSwag.measure(session, model.tokenizer(), List.of(task), 64, soFar -> {});
      assertEquals(1, measured.tasks());
      HellaSwagTask tooLong = task("She", List.of(Stories.TEXT.repeat(2), "He.", "It.", "zq."));
      IllegalArgumentException failure =
          assertThrows(
              IllegalArgumentException.class,
              () ->
                  HellaSwag.measure(session, model.tokenizer(), List.of(tooLong), 64, soFar -> {}));
      assertTrue(failure.getMessage().startsWith("tasks.txt: line 1"), failure.getMessage());
      assertThrows(
          IllegalArgumentException.class,
          () -> HellaSwag.measure(session, model.tokenizer(), List.of(), 64, soFar -> {}));
    }
  }

  private static HellaSwagTask task(String context, List<String> endings) {
    return new HellaSwagTask("tasks.txt: line 1", context, 0, endings);
  }

  private static int best(double[] values) {
    return IntStream.range(0, values.length)
        .reduce((a, b) -> values[b] > values[a] ? b : a)
        .orElseThrow();
  }
}
