package io.github.mla4j.eval.bench;

import io.github.mla4j.Batch;
import io.github.mla4j.CacheOptions;
import io.github.mla4j.CancelledException;
import io.github.mla4j.Model;
import io.github.mla4j.Profile;
import io.github.mla4j.Session;
import io.github.mla4j.SessionOptions;
import io.github.mla4j.TokenStream;
import io.github.mla4j.Work;
import io.github.mla4j.eval.ProcessMemory;
import io.github.mla4j.eval.TokenClock;
import io.github.mla4j.tokenizer.Tokenizer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * Runs the tests of one model with one cache. A session is filled from depth to depth; every
 * repetition goes on from a fork of it, which shares its pages: nothing is evaluated twice, and no
 * repetition sees what another one left. {@link #stop} is for any thread.
 *
 * <p>Tokens are drawn at random, always the same ones. What they are makes no difference to the
 * time. Sequences that go on together sample theirs, greedily: that is part of a step of theirs.
 */
public final class Bench {
  /** Tokens at once while filling, so that whoever waits hears of it. */
  private static final int FILLED = 512;

  private static final int WARM_PROMPT = 64;
  private static final int WARM_TOKENS = 8;

  /** About how many tokens, taken together, take as long as one alone. */
  private static final int ALONE = 8;

  /** Hears of what is done. */
  public interface Listener {
    /**
     * A part of {@link Bench#work} is done.
     *
     * @param of what, in words
     */
    void done(long work, String of);

    void row(BenchRow row);
  }

  private final BenchSettings settings;
  private final Listener listener;
  private final List<Session> running = new CopyOnWriteArrayList<>();
  private volatile boolean stopped;

  public Bench(BenchSettings settings, Listener listener) {
    this.settings = settings;
    this.listener = listener;
  }

  /** Ends {@link #measure} soon, by an exception. */
  public void stop() {
    stopped = true;
    running.forEach(Session::cancel);
  }

  /**
   * What {@link Listener#done} is told of in all, for one cache.
   *
   * @param context of the model
   */
  public static long work(BenchSettings settings, int context) {
    List<BenchCase> cases = settings.cases(context);
    long deepest = cases.stream().mapToInt(BenchCase::depth).max().orElse(0);
    return deepest + cases.stream().mapToLong(test -> work(settings, test)).sum();
  }

  private static long work(BenchSettings settings, BenchCase test) {
    int runs = settings.repetitions() + (settings.profiled() ? 1 : 0);
    return work(test, warm(test)) + runs * work(test, test.tokens());
  }

  private static long work(BenchCase test, long tokens) {
    return tokens * (test.isPrompt() ? 1 : ALONE + test.batch() - 1);
  }

  private static int warm(BenchCase test) {
    return Math.min(test.tokens(), test.isPrompt() ? WARM_PROMPT : WARM_TOKENS);
  }

  /**
   * Measures everything that the model's context has room for.
   *
   * @param label what the model is called
   * @throws CancelledException when it was stopped
   */
  public void measure(String label, Model model, CacheOptions cache) {
    List<BenchCase> cases = settings.cases(model.info().contextLength());
    int context = cases.stream().mapToInt(BenchCase::context).max().orElse(0);
    if (context == 0) {
      return;
    }
    int[] tokens = new Random(1).ints(context, 0, model.info().vocabularySize()).toArray();
    Consumer<SessionOptions> options =
        session -> session.cache(cache).contextLength(context).threads(settings.threads());
    Subject subject = new Subject(label, model, cache, options, tokens);
    try (Session filled = tracked(model.newSession(options))) {
      int depth = 0;
      for (BenchCase test : cases) {
        for (int count; depth < test.depth(); depth += count) {
          count = Math.min(FILLED, test.depth() - depth);
          filled.append(Arrays.copyOfRange(tokens, depth, depth + count));
          done(count, subject, test);
        }
        listener.row(row(subject, test, filled));
      }
    } finally {
      running.clear();
    }
  }

  /** What is measured, and the tokens that it is fed, by position. */
  private record Subject(
      String label,
      Model model,
      CacheOptions cache,
      Consumer<SessionOptions> options,
      int[] tokens) {
    int[] tokens(BenchCase test, int count) {
      return Arrays.copyOfRange(tokens, test.depth(), test.depth() + count);
    }
  }

  private BenchRow row(Subject subject, BenchCase test, Session filled) {
    ProcessMemory.forgetPeak();
    time(subject, test, warm(test), filled);
    List<Double> samples = new ArrayList<>();
    long cacheBytes = 0;
    for (int i = 0; i < settings.repetitions(); i++) {
      Run run = time(subject, test, test.tokens(), filled);
      samples.add(test.batch() * test.tokens() * 1e9 / run.nanos);
      cacheBytes = run.cacheBytes;
    }
    return new BenchRow(
        subject.label,
        subject.model.info().parameters(),
        subject.model.info().weightBytes(),
        subject.cache.toString(),
        test,
        samples,
        work(test, filled),
        subject.model.cacheBytesPerToken(subject.cache),
        cacheBytes,
        ProcessMemory.peakBytes(),
        settings.profiled() ? Optional.of(profile(subject, test, filled)) : Optional.empty());
  }

  /** One repetition, or a part of one. */
  private record Run(long nanos, long cacheBytes, Optional<Profile> profile) {}

  private Run time(Subject subject, BenchCase test, int count, Session filled) {
    Run run =
        test.batch() == 1
            ? timeAlone(subject, test, count, filled)
            : timeTogether(subject, test, count, filled, false);
    done(work(test, count), subject, test);
    return run;
  }

  private Run timeAlone(Subject subject, BenchCase test, int count, Session filled) {
    int[] tokens = subject.tokens(test, count);
    try (Session fork = tracked(filled.fork())) {
      long nanos =
          test.isPrompt() ? TokenClock.together(fork, tokens) : TokenClock.singly(fork, tokens);
      running.remove(fork);
      return new Run(nanos, fork.memory().cacheBytes(), Optional.empty());
    }
  }

  private Run timeTogether(
      Subject subject, BenchCase test, int steps, Session filled, boolean profiled) {
    Map<Integer, Float> bans = ends(subject.model);
    try (SessionCopies copies =
            SessionCopies.of(subject.model, filled, test.batch(), subject.options);
        Batch batch =
            subject.model.newBatch(
                options -> options.maxSessions(test.batch()).threads(settings.threads()))) {
      List<TokenStream> streams = new ArrayList<>();
      for (Session session : copies.sessions()) {
        tracked(session);
        int[] start = test.depth() == 0 ? subject.tokens(test, 1) : new int[0];
        streams.add(
            batch.add(
                session.generate(start, options -> options.maxTokens(steps + 1).logitBias(bans))));
      }
      step(batch); // draws from logits that are there, and evaluates nothing
      batch.setProfiling(profiled);
      long begin = System.nanoTime();
      for (int i = 0; i < steps; i++) {
        step(batch);
      }
      long nanos = Math.max(1, System.nanoTime() - begin);
      Optional<Profile> profile = profiled ? Optional.of(batch.profile()) : Optional.empty();
      requireAll(streams, steps + 1);
      running.removeAll(copies.sessions());
      return new Run(nanos, copies.cacheBytes(), profile);
    }
  }

  private static void step(Batch batch) {
    for (TokenStream stream : batch.step()) {
      while (stream.isReady()) {
        stream.next();
      }
    }
  }

  /** A sequence that ended early would make the others look fast. */
  private void requireAll(List<TokenStream> streams, int tokens) {
    if (stopped) {
      throw stoppedException();
    }
    for (TokenStream stream : streams) {
      if (stream.timings().generatedTokens() != tokens) {
        throw new IllegalStateException(
            "a sequence ended after %d of %d tokens: %s"
                .formatted(stream.timings().generatedTokens(), tokens, stream.finishReason()));
      }
    }
  }

  private static Work work(BenchCase test, Session session) {
    if (test.isPrompt()) {
      return session.countWork(test.depth(), test.prompt());
    }
    return IntStream.range(0, test.gen())
        .mapToObj(i -> session.countWork(test.first() + i, 1).together(test.batch()))
        .reduce(Work.NONE, Work::plus);
  }

  /** Single tokens are sampled here, as in real use, so that it shows what that takes. */
  private Profile profile(Subject subject, BenchCase test, Session filled) {
    Profile profile =
        test.batch() == 1
            ? profileAlone(subject, test, filled)
            : timeTogether(subject, test, test.tokens(), filled, true).profile.orElseThrow();
    done(work(test, test.tokens()), subject, test);
    return profile;
  }

  private Profile profileAlone(Subject subject, BenchCase test, Session filled) {
    try (Session fork = tracked(filled.fork())) {
      fork.setProfiling(true);
      if (test.isPrompt()) {
        fork.append(subject.tokens(test, test.prompt()));
      } else {
        generate(subject.model, fork, subject.tokens(test, 1), test.gen());
      }
      running.remove(fork);
      return fork.profile();
    }
  }

  /** So many tokens, whatever they are: no end of text ends it. */
  private static void generate(Model model, Session session, int[] first, int count) {
    Map<Integer, Float> bans = ends(model);
    try (TokenStream stream =
        session.generate(first, options -> options.maxTokens(count).logitBias(bans))) {
      stream.text();
    }
  }

  /** The tokens that end a text, never to be drawn. */
  private static Map<Integer, Float> ends(Model model) {
    if (!model.hasVocabulary()) {
      return Map.of();
    }
    Tokenizer tokenizer = model.tokenizer();
    return IntStream.range(0, tokenizer.size())
        .filter(tokenizer::isEndOfGeneration)
        .boxed()
        .collect(Collectors.toMap(id -> id, id -> Float.NEGATIVE_INFINITY));
  }

  /** A session that {@link #stop} reaches. */
  private Session tracked(Session session) {
    running.add(session);
    if (stopped) {
      session.close();
      throw stoppedException();
    }
    return session;
  }

  private void done(long work, Subject subject, BenchCase test) {
    // Between two calls there is nothing that cancelling a session could stop.
    if (stopped) {
      throw stoppedException();
    }
    listener.done(work, String.join(", ", subject.label, subject.cache.toString(), test.label()));
  }

  private static CancelledException stoppedException() {
    return new CancelledException("the benchmark was stopped");
  }
}
