package io.github.mla4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Streams computed together against the same streams alone, on a small real model. */
@Timeout(60)
class BatchTest {
  private static final String PROMPT = "Once upon a time";

  private Model model;
  private final List<Session> sessions = new ArrayList<>();

  @BeforeEach
  void open() {
    model = Model.load(SharedFiles.stories());
  }

  @AfterEach
  void close() {
    sessions.forEach(Session::close);
    if (model != null) {
      model.close();
    }
  }

  private Session session() {
    return session(s -> s.contextLength(256));
  }

  private Session session(Consumer<SessionOptions> options) {
    Session session = model.newSession(options.andThen(s -> s.threads(1)));
    sessions.add(session);
    return session;
  }

  /** Unlike streams: prompts, caches, samplers and ends. */
  private TokenStream stream(int which) {
    CacheType cache = CacheType.values()[which % CacheType.values().length];
    Session session = session(s -> s.cache(cache).contextLength(which % 5 == 3 ? 40 : 256));
    return session.generate(
        PROMPT + " there was a big".substring(0, which % 16),
        g -> {
          g.temperature(which % 3 == 0 ? 0 : 0.8f).seed(which).maxTokens(20 + 3 * which);
          if (which % 4 == 1) {
            g.stop(".", "ed to");
          }
        });
  }

  /** Steps until all streams have ended; what each said. */
  private static Map<TokenStream, String> finish(Batch batch) {
    Map<TokenStream, StringBuilder> texts = new HashMap<>();
    while (!batch.isEmpty()) {
      for (TokenStream stream : batch.step()) {
        take(stream, texts.computeIfAbsent(stream, s -> new StringBuilder()));
      }
    }
    Map<TokenStream, String> said = new HashMap<>();
    texts.forEach((stream, text) -> said.put(stream, text.toString()));
    return said;
  }

  private static void take(TokenStream stream, StringBuilder text) {
    while (stream.isReady()) {
      text.append(stream.next().text());
    }
  }

  @Test
  void streamsSayWhatTheyWouldAlone() {
    int count = 17;
    try (Batch batch = model.newBatch(b -> b.maxSessions(count).threads(2))) {
      List<TokenStream> together = new ArrayList<>();
      for (int i = 0; i < count; i++) {
        together.add(batch.add(stream(i)));
      }
      assertEquals(count, batch.streams().size());
      Map<TokenStream, String> said = finish(batch);
      assertTrue(batch.step().isEmpty());
      for (int i = 0; i < count; i++) {
        TokenStream one = together.get(i);
        TokenStream alone = stream(i);
        assertEquals(alone.text(), said.get(one), "stream " + i);
        assertEquals(alone.finishReason(), one.finishReason(), "stream " + i);
        assertEquals(alone.timings().generatedTokens(), one.timings().generatedTokens());
        assertArrayEquals(alone.session().tokens(), one.session().tokens());
        assertEquals(alone.session().logits(), one.session().logits());
        assertFalse(one.hasNext());
      }
      for (FinishReason reason :
          List.of(FinishReason.LENGTH, FinishReason.STOP, FinishReason.CONTEXT_FULL)) {
        assertTrue(together.stream().anyMatch(s -> s.finishReason() == reason), "none " + reason);
      }
    }
  }

  @Test
  void tokensAndTheirProbabilitiesEqualThoseAlone() {
    try (Batch batch = model.newBatch(2)) {
      TokenStream one = batch.add(session().generate(PROMPT, g -> g.maxTokens(30)));
      TokenStream other = batch.add(session().generate("The dog", g -> g.maxTokens(30)));
      TokenStream alone = session().generate(PROMPT, g -> g.maxTokens(30));
      while (!batch.isEmpty()) {
        assertEquals(List.of(one, other), batch.step());
        while (one.isReady()) {
          assertEquals(alone.next(), one.next());
        }
      }
      assertFalse(alone.hasNext());
      assertTrue(one.timings().generatedNanos() > 0);
      assertEquals(other.timings().generatedNanos(), one.timings().generatedNanos());
    }
  }

  @Test
  void streamsComeAndGoBetweenSteps() {
    StringBuilder first = new StringBuilder();
    StringBuilder second = new StringBuilder();
    TokenStream one = session().generate(PROMPT, g -> g.maxTokens(40));
    TokenStream two = session().generate("The dog", g -> g.maxTokens(40));
    first.append(one.next().text()); // begun alone
    try (Batch batch = model.newBatch(2);
        Batch another = model.newBatch(b -> b.threads(1))) {
      batch.add(one);
      for (int i = 0; i < 5; i++) {
        assertEquals(List.of(one), batch.step());
        take(one, first);
      }
      assertSame(two, batch.add(two));
      for (int i = 0; i < 5; i++) {
        assertEquals(2, batch.step().size());
        take(one, first);
        take(two, second);
      }
      assertTrue(batch.remove(one));
      assertFalse(batch.remove(one));
      assertEquals(List.of(two), batch.step());
      take(two, second);
      assertFalse(one.isReady());
      first.append(one.next().text()); // alone again
      another.add(one);
      second.append(two.next().text()); // and it stays in its batch
      first.append(finish(another).get(one));
      second.append(finish(batch).get(two));
    }
    assertEquals(session().generate(PROMPT, g -> g.maxTokens(40)).text(), first.toString());
    assertEquals(session().generate("The dog", g -> g.maxTokens(40)).text(), second.toString());
  }

  @Test
  void aSessionGoesOnAfterItsStreamEnded() {
    Session session = session();
    try (Batch batch = model.newBatch(4)) {
      TokenStream stream = batch.add(session.generate(PROMPT, g -> g.maxTokens(8)));
      String text = finish(batch).get(stream);
      // The last token was not evaluated yet, and goes first.
      text += session.generate(new int[0], g -> g.maxTokens(12)).text();
      assertEquals(session().generate(PROMPT, g -> g.maxTokens(20)).text(), text);
    }
  }

  @Test
  void aNewStreamOfASessionTakesThePlaceOfTheOneBefore() {
    Session session = session();
    try (Batch batch = model.newBatch(1)) {
      TokenStream before = batch.add(session.generate(PROMPT));
      batch.step();
      session.rewind(0);
      TokenStream after = batch.add(session.generate(PROMPT, g -> g.maxTokens(5)));
      assertEquals(List.of(after), batch.streams());
      finish(batch);
      before.hasNext();
      assertEquals(FinishReason.CANCELLED, before.finishReason());
      // Or ends where nobody tells the batch.
      TokenStream left = batch.add(session.generate("And", g -> g.maxTokens(5)));
      batch.step();
      String text = session.generate(new int[] {300}, g -> g.maxTokens(5)).text();
      assertFalse(text.isEmpty());
      assertEquals(List.of(left), batch.step());
      assertEquals(FinishReason.CANCELLED, left.finishReason());
      assertTrue(batch.isEmpty());
    }
  }

  @Test
  void oneThatIsCancelledOrClosedEndsAlone() {
    try (Batch batch = model.newBatch(4)) {
      TokenStream good = batch.add(session().generate(PROMPT, g -> g.maxTokens(20)));
      TokenStream cancelled = batch.add(session().generate(PROMPT));
      TokenStream closed = batch.add(session().generate(PROMPT));
      TokenStream nothing = batch.add(session().generate(PROMPT, g -> g.maxTokens(0)));
      StringBuilder text = new StringBuilder();
      assertEquals(4, batch.step().size());
      assertEquals(FinishReason.LENGTH, nothing.finishReason());
      take(good, text);
      cancelled.cancel();
      closed.session().close();
      assertEquals(3, batch.step().size());
      take(good, text);
      assertEquals(FinishReason.CANCELLED, cancelled.finishReason());
      assertEquals(FinishReason.CANCELLED, closed.finishReason());
      assertEquals(List.of(good), batch.streams());
      text.append(finish(batch).get(good));
      assertEquals(session().generate(PROMPT, g -> g.maxTokens(20)).text(), text.toString());
      cancelled.session().append(5); // stays usable
    }
  }

  @Test
  void aFailureThatIsNoEndIsThrownAfterTheOthersHadTheirTokens() {
    Map<Integer, Float> everyToken =
        IntStream.range(0, model.info().vocabularySize())
            .boxed()
            .collect(Collectors.toMap(id -> id, id -> Float.NEGATIVE_INFINITY));
    try (Batch batch = model.newBatch(4)) {
      TokenStream full = batch.add(session(s -> s.contextLength(6)).generate(PROMPT));
      TokenStream good = batch.add(session().generate(PROMPT, g -> g.maxTokens(20)));
      batch.step();
      batch.step();
      TokenStream bad = batch.add(session().generate(PROMPT, g -> g.logitBias(everyToken)));
      StringBuilder text = new StringBuilder();
      take(good, text);
      MlaException e = assertThrows(MlaException.class, batch::step);
      assertEquals(Status.INVALID_ARGUMENT, e.status());
      assertTrue(e.getMessage().startsWith("session 2 of 3: the logit bias bans"), e.getMessage());
      assertEquals(FinishReason.CONTEXT_FULL, full.finishReason());
      assertTrue(good.isReady());
      assertEquals(List.of(good), batch.streams());
      assertThrows(MlaException.class, bad::hasNext);
      take(good, text);
      text.append(finish(batch).get(good));
      assertEquals(session().generate(PROMPT, g -> g.maxTokens(20)).text(), text.toString());
    }
  }

  @Test
  void wrongUseIsNamed() {
    Batch batch = model.newBatch(1);
    TokenStream stream = batch.add(session().generate(PROMPT));
    assertThrows(IllegalArgumentException.class, () -> batch.add(stream));
    TokenStream second = session().generate(PROMPT);
    String full = assertThrows(IllegalStateException.class, () -> batch.add(second)).getMessage();
    assertTrue(full.contains("1 streams"), full);
    try (Model other = Model.load(SharedFiles.stories());
        Session foreign = other.newSession(s -> s.threads(1))) {
      TokenStream foreignStream = foreign.generate(PROMPT);
      String message =
          assertThrows(IllegalArgumentException.class, () -> batch.add(foreignStream)).getMessage();
      assertTrue(message.contains("another model"), message);
    }
    assertThrows(IllegalArgumentException.class, () -> model.newBatch(0));
    assertThrows(IllegalArgumentException.class, () -> model.newBatch(b -> b.threads(0)));
    MlaException many = assertThrows(MlaException.class, () -> model.newBatch(1025));
    assertEquals(Status.INVALID_ARGUMENT, many.status());
    assertTrue(many.getMessage().contains("1025"), many.getMessage());

    batch.close();
    batch.close();
    assertThrows(ClosedException.class, batch::step);
    assertThrows(ClosedException.class, () -> batch.add(second));
    assertThrows(ClosedException.class, batch::workspaceBytes);
    assertTrue(stream.hasNext()); // alone
    model.close();
    assertThrows(ClosedException.class, () -> model.newBatch(1));
  }

  @Test
  void memoryIsBoundedByTheNumberOfSessions() {
    try (Batch one = model.newBatch(1);
        Batch sixteen = model.newBatch(b -> {})) {
      long bytes = sixteen.workspaceBytes();
      assertTrue(one.workspaceBytes() > 0);
      assertTrue(bytes > one.workspaceBytes() && bytes <= 16 * one.workspaceBytes());
      sixteen.add(session().generate(PROMPT, g -> g.maxTokens(50)));
      finish(sixteen);
      assertEquals(bytes, sixteen.workspaceBytes());
    }
  }

  @Test
  void aBatchOutlivesItsModel() {
    Batch batch = model.newBatch(2);
    TokenStream stream = batch.add(session().generate(PROMPT, g -> g.maxTokens(10)));
    model.close();
    assertEquals(", there", finish(batch).get(stream).substring(0, 7));
    batch.close();
  }

  /** As a server does: requests come from many threads while one makes the steps. */
  @Test
  void othersAddWhileOneThreadSteps() throws Exception {
    String expected = session().generate(PROMPT, g -> g.maxTokens(30)).text();
    int requests = 24;
    try (Batch batch = model.newBatch(8)) {
      Map<TokenStream, CompletableFuture<String>> answers = new ConcurrentHashMap<>();
      List<CompletableFuture<String>> all = new ArrayList<>();
      Semaphore room = new Semaphore(8);
      List<Thread> threads = new ArrayList<>();
      for (int t = 0; t < 4; t++) {
        List<CompletableFuture<String>> mine = new ArrayList<>();
        for (int i = 0; i < requests / 4; i++) {
          mine.add(new CompletableFuture<>());
        }
        all.addAll(mine);
        threads.add(
            new Thread(
                () -> {
                  for (CompletableFuture<String> answer : mine) {
                    room.acquireUninterruptibly();
                    Session session = model.newSession(s -> s.threads(1).contextLength(64));
                    TokenStream stream = session.generate(PROMPT, g -> g.maxTokens(30));
                    answers.put(stream, answer);
                    batch.add(stream);
                  }
                }));
      }
      threads.forEach(Thread::start);
      Map<TokenStream, StringBuilder> texts = new HashMap<>();
      for (int left = requests; left > 0; ) {
        for (TokenStream stream : batch.step()) {
          take(stream, texts.computeIfAbsent(stream, s -> new StringBuilder()));
          if (stream.isFinished()) {
            answers.get(stream).complete(texts.get(stream).toString());
            stream.session().close();
            room.release();
            left--;
          }
        }
      }
      for (Thread thread : threads) {
        thread.join();
      }
      for (CompletableFuture<String> answer : all) {
        assertEquals(expected, answer.get(1, TimeUnit.SECONDS));
      }
    }
  }

  @Test
  void closingWhileABatchStepsNeverCrashes() throws Exception {
    for (int round = 0; round < 30; round++) {
      Model own = Model.load(SharedFiles.stories());
      Batch batch = own.newBatch(b -> b.maxSessions(4).threads(2));
      List<Session> members = new ArrayList<>();
      for (int i = 0; i < 4; i++) {
        members.add(own.newSession(s -> s.threads(1)));
        batch.add(members.get(i).generate(PROMPT, g -> g.temperature(1)));
      }
      CountDownLatch started = new CountDownLatch(1);
      ConcurrentLinkedQueue<Throwable> problems = new ConcurrentLinkedQueue<>();
      Thread stepper =
          new Thread(
              () -> {
                try {
                  while (!batch.isEmpty()) {
                    for (TokenStream stream : batch.step()) {
                      take(stream, new StringBuilder());
                    }
                    started.countDown();
                  }
                } catch (ClosedException e) {
                  // the batch was
                } catch (Throwable e) {
                  problems.add(e);
                }
              });
      stepper.start();
      started.await();
      List<Runnable> ends =
          List.of(members.get(0)::close, members.get(1)::cancel, own::close, batch::close);
      for (int i = 0; i < ends.size(); i++) {
        ends.get((i + round) % ends.size()).run();
      }
      stepper.join(20_000);
      assertFalse(stepper.isAlive());
      assertTrue(problems.isEmpty(), problems::toString);
      members.forEach(Session::close);
    }
  }

  @Test
  void twoBatchesStepSideBySide() throws Exception {
    String expected = session().generate(PROMPT, g -> g.maxTokens(60)).text();
    List<Thread> threads = new ArrayList<>();
    ConcurrentLinkedQueue<String> texts = new ConcurrentLinkedQueue<>();
    for (int t = 0; t < 2; t++) {
      Batch batch = model.newBatch(b -> b.threads(2));
      for (int i = 0; i < 3; i++) {
        batch.add(session().generate(PROMPT, g -> g.maxTokens(60)));
      }
      threads.add(
          new Thread(
              () -> {
                texts.addAll(finish(batch).values());
                batch.close();
              }));
    }
    threads.forEach(Thread::start);
    for (Thread thread : threads) {
      thread.join();
    }
    assertEquals(Collections.nCopies(6, expected), new ArrayList<>(texts));
  }
}
