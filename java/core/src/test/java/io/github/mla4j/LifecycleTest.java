package io.github.mla4j;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.mla4j.gguf.Gguf;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * Opening and closing in any order and from any thread never crashes and always says what it is.
 */
@Timeout(60)
class LifecycleTest {
  private static final String PROMPT = "Once upon a time";

  // A model, or a session, is more than half a megabyte.
  private static final int BATCH = 60;
  private static final long LEAK = 10L << 20;

  @TempDir Path folder;

  @Test
  void aSessionOutlivesItsModel() {
    Model model = Model.load(SharedFiles.stories());
    Session session = model.newSession(s -> s.threads(1));
    model.close();
    model.close();
    assertEquals(", there", session.generate(PROMPT, g -> g.maxTokens(3)).text().substring(0, 7));
    assertThrows(ClosedException.class, () -> model.newSession());
    assertEquals("TinyStories 260K", model.info().name());
    session.close();
    session.close();
    ClosedException e = assertThrows(ClosedException.class, () -> session.generate(PROMPT));
    assertTrue(e.getMessage().contains("session"), e.getMessage());
    assertThrows(ClosedException.class, () -> session.append(1));
    assertThrows(ClosedException.class, () -> session.logits());
    assertThrows(ClosedException.class, session::length);
    assertThrows(ClosedException.class, session::memory);
    assertThrows(ClosedException.class, () -> session.rewind(0));
    assertThrows(ClosedException.class, () -> model.cacheBytesPerToken(CacheOptions.defaults()));
    assertThrows(ClosedException.class, () -> model.tokenizer().encode("a"));
    assertDoesNotThrow(session::cancel);
  }

  @Test
  void aModelFromAnOpenFile() {
    Session session;
    try (Gguf file = Gguf.open(SharedFiles.stories());
        Model model = Model.load(file)) {
      session = model.newSession(s -> s.threads(1));
    }
    try (session) {
      assertTrue(session.generate(PROMPT, g -> g.maxTokens(8)).text().startsWith(", there was"));
    }
  }

  @Test
  void aBadFileIsNamed() throws IOException {
    Path file = Files.write(folder.resolve("not-a-model.gguf"), new byte[] {1, 2, 3});
    String message = assertThrows(BadFileException.class, () -> Model.load(file)).getMessage();
    assertTrue(message.contains("not-a-model.gguf"), message);
    Path vocabulary = SharedFiles.find("fixtures/vocab/ggml-vocab-llama-spm.gguf");
    assertThrows(MlaException.class, () -> Model.load(vocabulary)); // has no weights
  }

  @Test
  void aStreamEndsWhereItsSessionIsClosed() {
    try (Model model = Model.load(SharedFiles.stories())) {
      Session session = model.newSession(s -> s.threads(1));
      TokenStream stream = session.generate(PROMPT);
      stream.next();
      session.close();
      assertFalse(stream.hasNext());
      assertEquals(FinishReason.CANCELLED, stream.finishReason());
    }
  }

  @Test
  void closingWhileAnotherThreadGeneratesEndsItsStream() throws Exception {
    try (Model model = Model.load(SharedFiles.stories())) {
      for (int round = 0; round < 20; round++) {
        Session session = model.newSession(s -> s.threads(1 + (int) (Math.random() * 2)));
        CountDownLatch started = new CountDownLatch(1);
        Future<FinishReason> reason =
            inThread(
                () -> {
                  TokenStream stream = session.generate(PROMPT, g -> g.temperature(1));
                  while (stream.hasNext()) {
                    stream.next();
                    started.countDown();
                  }
                  return stream.finishReason();
                });
        started.await();
        session.close();
        FinishReason seen = reason.get(10, TimeUnit.SECONDS);
        assertTrue(seen == FinishReason.CANCELLED || seen == FinishReason.STOP, "ended as " + seen);
      }
    }
  }

  @Test
  void cancelStopsAStreamAndOnlyThat() throws Exception {
    try (Model model = Model.load(SharedFiles.stories());
        Session session = model.newSession(s -> s.threads(1))) {
      session.cancel(); // nothing runs: nothing happens
      for (int round = 0; round < 30; round++) {
        session.rewind(0);
        TokenStream stream = session.generate(PROMPT, g -> g.temperature(1));
        stream.next();
        Future<?> cancel = inThread(session::cancel);
        while (stream.hasNext()) {
          stream.next();
        }
        cancel.get(10, TimeUnit.SECONDS);
        FinishReason seen = stream.finishReason();
        assertTrue(
            seen == FinishReason.CANCELLED
                || seen == FinishReason.STOP
                || seen == FinishReason.CONTEXT_FULL,
            "ended as " + seen);
        // The session goes on; the cancel of the round before has no effect.
        session.rewind(0);
        assertEquals(
            ", there", session.generate(PROMPT, g -> g.maxTokens(3)).text().substring(0, 7));
      }
    }
  }

  @Test
  void cancelStopsAPromptToo() throws Exception {
    try (Model model = Model.load(SharedFiles.smollm2());
        Session session = model.newSession(s -> s.threads(2))) {
      int[] longPrompt = new int[4000];
      AtomicInteger attempts = new AtomicInteger();
      Future<TokenStream> stream = inThread(() -> session.generate(longPrompt));
      while (!stream.isDone()) {
        attempts.incrementAndGet();
        session.cancel();
        Thread.sleep(5);
      }
      assertFalse(stream.get().hasNext());
      assertEquals(FinishReason.CANCELLED, stream.get().finishReason());
      assertEquals(0, session.length()); // as before the call
      session.append(1);
      Future<?> scored = inThread(() -> session.score(longPrompt));
      while (!scored.isDone()) {
        session.cancel();
        Thread.sleep(5);
      }
      Exception e = assertThrows(Exception.class, scored::get);
      assertTrue(e.getCause() instanceof CancelledException, () -> "" + e.getCause());
      assertEquals(1, session.length());
    }
  }

  @Test
  void sixteenThreadsShareAModelThatOneOfThemCloses() throws Exception {
    for (int round = 0; round < 5; round++) {
      Model model = Model.load(SharedFiles.stories());
      ExecutorService pool = Executors.newFixedThreadPool(16);
      List<Future<Integer>> results = new ArrayList<>();
      for (int i = 0; i < 16; i++) {
        int thread = i;
        results.add(
            pool.submit(
                () -> {
                  int told = 0;
                  try {
                    for (int j = 0; j < 6; j++) {
                      if (thread == 7 && j == 2) {
                        model.close();
                      }
                      try (Session session = model.newSession(s -> s.threads(1))) {
                        TokenStream stream =
                            session.generate(PROMPT, g -> g.temperature(1).maxTokens(10));
                        while (stream.hasNext()) {
                          stream.next();
                        }
                        told++;
                      }
                    }
                  } catch (ClosedException e) {
                    return told; // as it should be, sooner or later
                  }
                  return told;
                }));
      }
      pool.shutdown();
      assertTrue(pool.awaitTermination(30, TimeUnit.SECONDS));
      int told = 0;
      for (Future<Integer> result : results) {
        told += result.get();
      }
      assertTrue(told >= 2, "stories told: " + told);
    }
  }

  @Test
  void twoSessionsRunInParallelAndDoNotMix() throws Exception {
    try (Model model = Model.load(SharedFiles.stories())) {
      List<Future<String>> stories = new ArrayList<>();
      for (int i = 0; i < 4; i++) {
        stories.add(
            inThread(
                () -> {
                  try (Session session = model.newSession(s -> s.threads(1))) {
                    return session.generate(PROMPT, g -> g.maxTokens(60)).text();
                  }
                }));
      }
      String first = stories.get(0).get(20, TimeUnit.SECONDS);
      for (Future<String> story : stories) {
        assertEquals(first, story.get(20, TimeUnit.SECONDS));
      }
    }
  }

  @Test
  void openingAndClosingLeaksNothing() throws Exception {
    Path file = SharedFiles.stories();
    long growth =
        leastGrowth(
            () -> {
              try (Model model = Model.load(file);
                  Session session = model.newSession(s -> s.threads(1))) {
                TokenStream stream = session.generate(PROMPT, g -> g.maxTokens(2));
                assertEquals(",", stream.next().text());
              }
            });
    assertTrue(growth < LEAK, "native memory grows by " + growth + " bytes in " + BATCH);
  }

  @Test
  void whatIsForgottenIsCollected() throws Exception {
    Path file = SharedFiles.stories();
    long growth = leastGrowth(() -> Model.load(file).newSession(s -> s.threads(1)).append(1, 2, 3));
    assertTrue(growth < LEAK, "native memory grows by " + growth + " bytes in " + BATCH);
  }

  /**
   * The least growth of native memory in a batch of runs: a leak grows in each, while what the
   * allocator keeps goes up and down.
   */
  private static long leastGrowth(Runnable run) throws Exception {
    long least = Long.MAX_VALUE;
    long before = nativeBytes();
    for (int batch = 0; batch < 6; batch++) {
      for (int i = 0; i < BATCH; i++) {
        run.run();
      }
      long after = nativeBytes();
      least = Math.min(least, after - before);
      before = after;
    }
    return least;
  }

  /** Resident memory without the Java heap. */
  private static long nativeBytes() throws Exception {
    Path statm = Path.of("/proc/self/statm");
    Assumptions.assumeTrue(Files.exists(statm), "needs /proc/self/statm");
    Assumptions.assumeTrue(
        System.getenv("MLA_TEST_EMULATED") == null, "an emulator's translations grow, too");
    for (int i = 0; i < 2; i++) { // what the first finds, cleaners close meanwhile
      System.gc();
      Thread.sleep(50);
    }
    long resident = Long.parseLong(Files.readString(statm).split(" ")[1]) * 4096;
    return resident - ManagementFactory.getMemoryMXBean().getHeapMemoryUsage().getCommitted();
  }

  private static Future<?> inThread(Runnable work) {
    return inThread(Executors.callable(work));
  }

  private static <T> Future<T> inThread(Callable<T> work) {
    ExecutorService thread = Executors.newSingleThreadExecutor();
    try {
      return thread.submit(work);
    } finally {
      thread.shutdown();
    }
  }
}
