package io.github.mla4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Sessions that are saved, restored, forked and continued from a prefix. */
class SavedSessionTest {
  private static final String PROMPT = "Once upon a time";

  @TempDir Path folder;
  private Model model;
  private Session session;

  @BeforeEach
  void open() {
    model = Model.load(SharedFiles.stories());
    session = model.newSession(s -> s.threads(1));
  }

  @AfterEach
  void close() {
    if (model != null) {
      session.close();
      model.close();
    }
  }

  private Path file() {
    return folder.resolve("story.mlas");
  }

  private static String text(Session session, String prompt, int tokens) {
    try (TokenStream stream = session.generate(prompt, o -> o.greedy().maxTokens(tokens))) {
      return stream.text();
    }
  }

  private static float[] logits(Session session) {
    FloatBuffer buffer = session.logits();
    float[] values = new float[buffer.remaining()];
    buffer.get(values);
    return values;
  }

  @ParameterizedTest
  @EnumSource
  void aRestoredSessionGoesOnWithTheSameLogits(CacheType type) {
    try (Session own = model.newSession(s -> s.threads(1).cache(type))) {
      own.append(model.tokenizer().encode(PROMPT));
      own.save(file());
      try (Session restored = model.restoreSession(file(), s -> s.threads(1))) {
        assertArrayEquals(own.tokens(), restored.tokens());
        assertArrayEquals(logits(own), logits(restored));
        assertEquals(text(own, "", 30), text(restored, "", 30));
      }
    }
  }

  @Test
  void whatAStreamGaveLastIsSaved() {
    String begin = text(session, PROMPT, 10);
    int length = session.length();
    session.save(file());
    assertEquals(length + 1, session.length());
    String rest = text(session, "", 10);
    try (Session restored = model.restoreSession(file())) {
      assertEquals(length + 1, restored.length());
      assertEquals(rest, text(restored, "", 10));
    }
    try (Session whole = model.newSession(s -> s.threads(1))) {
      assertEquals(begin + rest, text(whole, PROMPT, 20));
    }
  }

  @Test
  void aForkGoesOnByItself() {
    text(session, PROMPT, 5);
    try (Session fork = session.fork();
        Session other = session.fork()) {
      assertArrayEquals(session.tokens(), fork.tokens());
      String rest = text(session, "", 20);
      assertEquals(rest, text(fork, "", 20));
      assertNotEquals(rest, text(other, " The cat", 20));
      session.close();
      assertTrue(text(fork, "", 3).length() > 0);
    }
    assertThrows(ClosedException.class, () -> session.fork());
    assertThrows(ClosedException.class, () -> session.tokens());
    assertThrows(ClosedException.class, () -> session.save(file()));
  }

  @Test
  void aForkDrawsTheSameNumbers() {
    session.append(model.tokenizer().encode(PROMPT));
    try (TokenStream mine = session.generate("", o -> o.temperature(1).seed(3).maxTokens(20))) {
      for (int i = 0; i < 5; i++) {
        mine.next();
      }
    }
    try (Session fork = session.fork();
        TokenStream its = fork.generate("", o -> o.temperature(1).seed(4).maxTokens(20));
        TokenStream mine = session.generate("", o -> o.temperature(1).seed(4).maxTokens(20))) {
      assertEquals(mine.text(), its.text());
    }
  }

  @Test
  void aSequenceIsContinuedFromWhatIsKnown() {
    int[] sequence = model.tokenizer().encode(PROMPT + ", there was a big");
    String expected;
    try (Session fresh = model.newSession(s -> s.threads(1))) {
      expected = text(fresh, PROMPT + ", there was a big", 10);
    }
    text(session, PROMPT, 20);
    try (TokenStream stream = session.generateAfter(sequence, o -> o.greedy().maxTokens(10))) {
      assertEquals(expected, stream.text());
      assertTrue(stream.timings().promptTokens() < sequence.length, "the beginning was known");
    }
    try (TokenStream again = session.generateAfter(sequence, o -> o.greedy().maxTokens(10))) {
      assertEquals(expected, again.text());
      assertEquals(1, again.timings().promptTokens());
    }
    assertThrows(
        IllegalArgumentException.class, () -> session.generateAfter(new int[0], o -> o.greedy()));
  }

  @Test
  void wrongFilesAreRefusedInWords() throws IOException {
    session.append(1, 2, 3);
    session.save(file());
    byte[] bytes = Files.readAllBytes(file());
    bytes[bytes.length / 2] ^= 1;
    Files.write(file(), bytes);
    BadFileException damaged =
        assertThrows(BadFileException.class, () -> model.restoreSession(file()));
    assertTrue(damaged.getMessage().contains("checksum"), damaged.getMessage());
    assertTrue(damaged.getMessage().contains("story.mlas"), damaged.getMessage());
    session.save(file());
    ContextFullException small =
        assertThrows(
            ContextFullException.class,
            () -> model.restoreSession(file(), s -> s.contextLength(2)));
    assertTrue(small.getMessage().contains("3 tokens"), small.getMessage());
    MlaException absent =
        assertThrows(MlaException.class, () -> model.restoreSession(folder.resolve("none")));
    assertEquals(Status.NOT_FOUND, absent.status());
  }
}
