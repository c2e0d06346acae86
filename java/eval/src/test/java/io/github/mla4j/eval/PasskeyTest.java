package io.github.mla4j.eval;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.mla4j.CacheType;
import io.github.mla4j.Model;
import io.github.mla4j.Session;
import io.github.mla4j.tokenizer.Tokenizer;
import java.io.IOException;
import java.util.Arrays;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

final class PasskeyTest {
  private static final String SMOLLM2 = "models/SmolLM2-135M-Instruct.Q4_1.gguf";

  @Test
  void aStretchHasTheTokensAskedForAndEndsWithASentence() {
    try (Model model = Stories.open()) {
      Tokenizer tokenizer = model.tokenizer();
      PasskeyFiller filler = PasskeyFiller.of(tokenizer, "One cat sat.\nTwo dogs ran! Did they?");
      assertEquals(3, filler.sentences());
      int all = tokenizer.encode("One cat sat. Two dogs ran! Did they?", false, false).length;
      PasskeyFiller.Stretch whole = filler.stretch(0, all);
      assertEquals("One cat sat. Two dogs ran! Did they?", tokenizer.decode(whole.tokens()));
      assertEquals(4, whole.gaps().size());
      for (int first = 0; first < 3; first++) {
        for (int tokens = 0; tokens < 3 * all; tokens++) {
          PasskeyFiller.Stretch stretch = filler.stretch(first, tokens);
          assertEquals(tokens, stretch.tokens().length);
          assertEquals(0, stretch.gapAt(0));
          assertEquals(tokens, stretch.gapAt(100));
          for (int gap : stretch.gaps()) {
            if (gap > 0) {
              String before = tokenizer.decode(Arrays.copyOf(stretch.tokens(), gap));
              assertTrue(before.matches("(?s).*[.!?]"), before);
            }
          }
        }
      }
    }
  }

  @Test
  void aPromptFillsTheContextAndHidesTheKeyAtItsDepth() throws IOException {
    try (Model model = Stories.open()) {
      Tokenizer tokenizer = model.tokenizer();
      PasskeyFiller filler = PasskeyFiller.bundled(tokenizer);
      for (int context : new int[] {300, 511, 2000}) {
        for (int depth : new int[] {0, 40, 100}) {
          PasskeyTask task =
              PasskeyTask.of(tokenizer, filler, context, depth, new SplittableRandom(depth));
          assertEquals(context, task.prompt().length + task.room());
          assertTrue(task.key().matches("[1-9][0-9]{4}"), task.key());
          String text = tokenizer.decode(task.prompt());
          String hidden =
              " The pass key is %s. Do not forget: the pass key is %s."
                  .formatted(task.key(), task.key());
          String question = " What is the pass key? The pass key is";
          assertTrue(text.endsWith(question), text);
          assertEquals(" " + task.key(), " " + tokenizer.decode(task.answer()).strip());
          int begin = text.indexOf("end.") + "end.".length();
          int at = text.indexOf(hidden);
          int end = text.length() - question.length() - hidden.length();
          assertTrue(at >= begin && at <= end, text);
          // At a gap between sentences near the depth; the longest sentence is 150 characters.
          assertEquals(depth / 100.0, (double) (at - begin) / (end - begin), 200.0 / (end - begin));
          assertTrue(depth != 0 || at == begin, text);
          assertTrue(depth != 100 || at == end, text);
          // The filler has no number of its own.
          assertEquals("", text.replace(task.key(), "").replaceAll("[^0-9]", ""));
        }
      }
    }
  }

  @Test
  void aContextThatTheQuestionDoesNotFitInIsRefused() throws IOException {
    try (Model model = Stories.open()) {
      PasskeyFiller filler = PasskeyFiller.bundled(model.tokenizer());
      IllegalArgumentException failure =
          assertThrows(
              IllegalArgumentException.class,
              () -> PasskeyTask.of(model.tokenizer(), filler, 60, 0, new SplittableRandom(1)));
      assertTrue(failure.getMessage().contains("60 tokens"), failure.getMessage());
      assertThrows(
          IllegalArgumentException.class, () -> PasskeyFiller.of(model.tokenizer(), " \n "));
    }
  }

  @Test
  void theFirstNumberOfTheAnswerCounts() {
    PasskeyTask task = new PasskeyTask(new int[0], "48213", new int[0], 0);
    assertTrue(task.isRight(" 48213. Remember"));
    assertTrue(task.isRight(": 48213"));
    assertFalse(task.isRight(" 482130"));
    assertFalse(task.isRight(" 4821"));
    assertFalse(task.isRight(" 1 or 48213"));
    assertFalse(task.isRight(" not known"));
  }

  @Test
  void aSeedRepeatsAndTheLogProbabilityIsThatOfTheWholeText() throws IOException {
    try (Model model = Stories.open();
        Session session = model.newSession(options -> options.cache(CacheType.F32))) {
      Tokenizer tokenizer = model.tokenizer();
      PasskeyFiller filler = PasskeyFiller.bundled(tokenizer);
      Passkey one = measure(session, tokenizer, filler, 1, 1);
      assertEquals(one, measure(session, tokenizer, filler, 1, 1));
      assertNotEquals(one, measure(session, tokenizer, filler, 1, 2));

      SplittableRandom random = new SplittableRandom((1L * 31 + 400) * 101 + 50);
      PasskeyTask task = PasskeyTask.of(tokenizer, filler, 400, 50, random);
      int[] whole = Arrays.copyOf(task.prompt(), task.prompt().length + task.answer().length);
      System.arraycopy(task.answer(), 0, whole, task.prompt().length, task.answer().length);
      session.rewind(0);
      float[] scores = session.score(whole);
      double expected = 0;
      for (int i = task.prompt().length - 1; i < scores.length; i++) {
        expected += scores[i];
      }
      assertEquals(expected, one.logProbability(), 1e-3);

      Passkey two = measure(session, tokenizer, filler, 2, 1);
      assertEquals(2, two.found().of());
      assertTrue(two.standardError() > 0, two.toString());
    }
  }

  /** A model that can: the needle is found, and what is not hidden is not. */
  @Test
  void aRealModelFindsTheKey() throws IOException {
    try (Model model = Model.load(Stories.shared(SMOLLM2));
        Session session = model.newSession(options -> options.contextLength(192))) {
      Tokenizer tokenizer = model.tokenizer();
      PasskeyFiller filler = PasskeyFiller.bundled(tokenizer);
      Passkey measured = Passkey.measure(session, tokenizer, filler, 192, 50, 3, 1, soFar -> {});
      assertTrue(measured.found().hits() >= 2, measured.toString());
      // A guess of five digits is ln 1e-5 = -11.5 at best.
      assertTrue(measured.logProbability() > -6, measured.toString());
      assertArrayEquals(
          tokenizer.encode("The pass key is 48213", false, false),
          join(
              tokenizer.encode("The pass key is", false, false),
              tokenizer.encode(" 48213", false, false)));
    }
  }

  private static Passkey measure(
      Session session, Tokenizer tokenizer, PasskeyFiller filler, int trials, long seed) {
    return Passkey.measure(session, tokenizer, filler, 400, 50, trials, seed, soFar -> {});
  }

  private static int[] join(int[] a, int[] b) {
    int[] all = Arrays.copyOf(a, a.length + b.length);
    System.arraycopy(b, 0, all, a.length, b.length);
    return all;
  }
}
