package io.github.mla4j;

import static io.github.mla4j.bindings.global.mla.MLA_CANCELLED;
import static io.github.mla4j.bindings.global.mla.MLA_CLOSED;
import static io.github.mla4j.bindings.global.mla.MLA_CONTEXT_FULL;
import static io.github.mla4j.bindings.global.mla.MLA_OK;
import static io.github.mla4j.bindings.global.mla.mla_session_next;

import io.github.mla4j.internal.Native;
import io.github.mla4j.tokenizer.Tokenizer;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.Optional;

/**
 * Tokens as they are generated: each is computed when it is asked for. Iterate it, once, by a loop
 * over the stream or by {@link #next}. Text never splits a character and never shows a stop text or
 * the beginning of one. For one thread; {@link #cancel} is for any. Needs no close where it is
 * iterated to its end; an early close only ends it, the session goes on. A {@link Batch} computes
 * the tokens of many streams together.
 */
public final class TokenStream implements Iterator<Token>, Iterable<Token>, AutoCloseable {
  private final Session session;
  private final Optional<Tokenizer> tokenizer;
  private final GenerateOptions options;
  private final PieceQueue pieces;
  private final int[] token = new int[1];
  private final float[] logProbability = new float[1];
  private final CancelGate.Call step = h -> mla_session_next(h, token, logProbability);
  private final int promptTokens;
  private final long promptNanos;
  private int generatedTokens;
  private long generatedNanos;
  private Optional<FinishReason> finishReason = Optional.empty();
  private volatile boolean cancelled;

  TokenStream(
      Session session,
      Optional<Tokenizer> tokenizer,
      GenerateOptions options,
      int promptTokens,
      long promptNanos) {
    this.session = session;
    this.tokenizer = tokenizer;
    this.options = options;
    this.pieces = new PieceQueue(tokenizer, options.stops());
    this.promptTokens = promptTokens;
    this.promptNanos = promptNanos;
  }

  /** Whether another token comes; computes it. */
  @Override
  public boolean hasNext() {
    while (goesOn() && !pieces.hasNext()) {
      advance();
    }
    return pieces.hasNext();
  }

  /** Whether a token is there already, so that {@link #next} computes nothing. */
  public boolean isReady() {
    return pieces.hasNext();
  }

  @Override
  public Token next() {
    if (!hasNext()) {
      throw new NoSuchElementException("the stream has ended: " + finishReason());
    }
    return pieces.next();
  }

  /** This stream, which can be iterated once. */
  @Override
  public Iterator<Token> iterator() {
    return this;
  }

  /** The rest of the text, to its end. */
  public String text() {
    StringBuilder rest = new StringBuilder();
    while (hasNext()) {
      rest.append(pieces.next().text());
    }
    return rest.toString();
  }

  /** Whether it is known why the stream ends; tokens that were held back may still come. */
  public boolean isFinished() {
    return finishReason.isPresent();
  }

  /**
   * Why the stream ended.
   *
   * @throws IllegalStateException where it has not
   */
  public FinishReason finishReason() {
    return finishReason.orElseThrow(() -> new IllegalStateException("the stream has not ended"));
  }

  /** What it took until now. */
  public Timings timings() {
    return new Timings(promptTokens, promptNanos, generatedTokens, generatedNanos);
  }

  /** Ends the stream before its next token. Any thread. */
  public void cancel() {
    cancelled = true;
  }

  /** Ends the stream, if it has not ended. The session stays usable. */
  @Override
  public void close() {
    cancel();
    if (!isFinished()) {
      finish(FinishReason.CANCELLED);
    }
  }

  Session session() {
    return session;
  }

  /** Whether another token is to be computed; ends the stream where it is over. */
  boolean goesOn() {
    if (!isFinished() && cancelled) {
      finish(FinishReason.CANCELLED);
    } else if (!isFinished() && generatedTokens >= options.maxTokens()) {
      finish(FinishReason.LENGTH);
    }
    return !isFinished();
  }

  /** For a batch that holds the session: takes what its call gave. False as of {@link #take}. */
  boolean settleStep(int status, int id, float itsLogProbability, long nanos) {
    token[0] = id;
    logProbability[0] = itsLogProbability;
    generatedNanos += nanos;
    return take(session.settleStep(status, step, token));
  }

  private void advance() {
    long begin = System.nanoTime();
    int status = session.next(step, token);
    generatedNanos += System.nanoTime() - begin;
    if (!take(status)) {
      throw Native.failure(status);
    }
  }

  /** Takes what a step gave. False for a failure that is no end of a stream. */
  private boolean take(int status) {
    switch (status) {
      case MLA_OK -> takeToken(token[0]);
      case MLA_CONTEXT_FULL -> finish(FinishReason.CONTEXT_FULL);
      case MLA_CANCELLED, MLA_CLOSED -> finish(FinishReason.CANCELLED);
      default -> {
        return false;
      }
    }
    return true;
  }

  private void takeToken(int id) {
    generatedTokens++;
    boolean end = tokenizer.isPresent() && tokenizer.get().isEndOfGeneration(id);
    if (end || options.isStopToken(id)) {
      session.lastWasEnd();
      finish(FinishReason.STOP);
    } else if (pieces.add(id, logProbability[0])) {
      finishReason = Optional.of(FinishReason.STOP);
    } else if (generatedTokens == options.maxTokens()) {
      finish(FinishReason.LENGTH);
    }
  }

  private void finish(FinishReason reason) {
    finishReason = Optional.of(reason);
    pieces.finish();
  }
}
