package io.github.mla4j;

import static io.github.mla4j.bindings.global.mla.MLA_CANCELLED;
import static io.github.mla4j.bindings.global.mla.MLA_CLOSED;
import static io.github.mla4j.bindings.global.mla.MLA_CONTEXT_FULL;
import static io.github.mla4j.bindings.global.mla.MLA_OK;
import static io.github.mla4j.bindings.global.mla.mla_batch_close;
import static io.github.mla4j.bindings.global.mla.mla_batch_memory;
import static io.github.mla4j.bindings.global.mla.mla_batch_next;
import static io.github.mla4j.bindings.global.mla.mla_batch_profile;
import static io.github.mla4j.bindings.global.mla.mla_batch_profile_row;
import static io.github.mla4j.bindings.global.mla.mla_batch_set_profiling;
import static io.github.mla4j.bindings.global.mla.mla_last_error;

import io.github.mla4j.internal.Handle;
import io.github.mla4j.internal.Native;
import java.lang.ref.Reference;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.LongToIntFunction;

/**
 * Streams of sessions of one model whose tokens are computed together: a step reads the weights
 * once for all of them. Every stream has the tokens that it would have alone: on the CPU to the
 * last bit of its numbers; on a GPU, which adds in another order for more streams, up to rounding.
 * They come and go between steps:
 *
 * <pre>{@code
 * batch.add(session.generate("Once upon a time", g -> g.maxTokens(100)));
 * while (!batch.isEmpty()) {
 *   for (TokenStream stream : batch.step()) {
 *     while (stream.isReady()) {
 *       answer(stream).append(stream.next().text());
 *     }
 *     if (stream.isFinished()) {
 *       finish(stream, stream.finishReason());
 *     }
 *   }
 * }
 * }</pre>
 *
 * <p>Any thread may add, remove, step and close, in any order; steps run one after the other. A
 * prompt is evaluated by the session, before its stream comes here, so that another thread may do
 * that while steps go on. The streams themselves are for the thread that steps. A step waits for
 * what else runs on its sessions, and what is asked of them waits for it, but for {@link
 * Session#cancel}, {@link TokenStream#cancel} and {@link Session#close}, which end their stream and
 * no other. A stream's timings count whole steps.
 *
 * <p>The batch owns its scratch memory and neither streams nor sessions. It keeps the weights alive
 * and may be closed before or after the model.
 */
public final class Batch implements AutoCloseable {
  private final Handle handle;
  private final ModelInfo model;
  private final int maxSessions;
  // Fair: whoever adds must get between the steps of a thread that makes one after the other.
  private final ReentrantLock lock = new ReentrantLock(true);

  // Guarded by lock.
  private final List<TokenStream> streams = new ArrayList<>(); // by their sessions' numbers
  private final TokenStream[] members; // of the step that runs
  private final long[] handles;
  private final int[] tokens;
  private final float[] logProbabilities;
  private final int[] statuses;

  Batch(ModelInfo model, long handle, int maxSessions) {
    this.handle = new Handle(this, "batch", handle, h -> mla_batch_close(h));
    this.model = model;
    this.maxSessions = maxSessions;
    members = new TokenStream[maxSessions];
    handles = new long[maxSessions];
    tokens = new int[maxSessions];
    logProbabilities = new float[maxSessions];
    statuses = new int[maxSessions];
  }

  /**
   * From the next step on the stream's tokens are computed with the others'. It may be one that has
   * begun, and may be in one batch at a time. An earlier stream of its session, which ended when
   * this one was made, leaves the batch. Waits for a step that runs.
   *
   * @return the stream
   * @throws IllegalArgumentException where its session is of another model, or it is here already
   * @throws IllegalStateException where the batch has as many streams as it can
   */
  public TokenStream add(TokenStream stream) {
    lock.lock();
    try {
      handle.value();
      // By identity: another model of the same file has an equal one.
      if (stream.session().model() != model) {
        throw new IllegalArgumentException(
            "the stream's session is of another model than the batch");
      }
      if (streams.contains(stream)) {
        throw new IllegalArgumentException("the stream is in the batch already");
      }
      streams.removeIf(other -> other.session() == stream.session());
      if (streams.size() == maxSessions) {
        throw new IllegalStateException(
            "the batch has " + maxSessions + " streams, as many as it can");
      }
      streams.add(stream);
      streams.sort(Comparator.comparingLong(s -> s.session().number()));
      return stream;
    } finally {
      lock.unlock();
    }
  }

  /**
   * Takes the stream out, as it is: it may go on alone or in another batch. Waits for a step that
   * runs.
   *
   * @return whether it was here
   */
  public boolean remove(TokenStream stream) {
    lock.lock();
    try {
      return streams.remove(stream);
    } finally {
      lock.unlock();
    }
  }

  /** The streams that the next step computes. */
  public List<TokenStream> streams() {
    lock.lock();
    try {
      return List.copyOf(streams);
    } finally {
      lock.unlock();
    }
  }

  /** Whether there is nothing to compute. */
  public boolean isEmpty() {
    lock.lock();
    try {
      return streams.isEmpty();
    } finally {
      lock.unlock();
    }
  }

  /**
   * Computes the next token of every stream; those that end with it leave the batch. A stream has
   * then one token ready, or none where it is held back ({@link TokenStream}), or several that
   * were.
   *
   * @return the streams that took part, in an order of their own; none where the batch is empty
   * @throws MlaException where a session failed otherwise than a stream ends, as out of memory: all
   *     others have their tokens, and the stream that failed has left the batch and may be iterated
   *     again
   */
  public List<TokenStream> step() {
    lock.lock();
    try {
      handle.value();
      List<TokenStream> stepped = List.copyOf(streams);
      Optional<MlaException> failure = compute();
      if (failure.isPresent()) {
        throw failure.get();
      }
      return stepped;
    } finally {
      lock.unlock();
      Reference.reachabilityFence(this);
    }
  }

  private Optional<MlaException> compute() {
    int held = 0;
    try {
      for (TokenStream stream : streams) {
        if (!stream.goesOn()) {
          continue; // and its session is not waited for
        }
        handles[held] = stream.session().beginStep();
        members[held++] = stream;
        if (!stream.goesOn()) { // cancelled meanwhile, and perhaps for another one
          release(--held);
        }
      }
      streams.removeIf(TokenStream::isFinished);
      if (held == 0) {
        return Optional.empty();
      }
      long begin = System.nanoTime();
      Native.check(
          mla_batch_next(handle.value(), handles, held, tokens, logProbabilities, statuses));
      long nanos = System.nanoTime() - begin;
      Optional<MlaException> failure = failure(held);
      for (int i = 0; i < held; i++) {
        TokenStream stream = members[i];
        if (!stream.settleStep(statuses[i], tokens[i], logProbabilities[i], nanos)
            || stream.isFinished()) {
          streams.remove(stream);
        }
      }
      return failure;
    } finally {
      while (held > 0) {
        release(--held);
      }
    }
  }

  private void release(int place) {
    members[place].session().endStep();
    members[place] = null;
  }

  /** The first failure that is no end of a stream, in the words of the call that was just made. */
  private Optional<MlaException> failure(int held) {
    int line = 0; // there is one for each that failed
    for (int i = 0; i < held; i++) {
      switch (statuses[i]) {
        case MLA_OK -> {}
        case MLA_CONTEXT_FULL, MLA_CANCELLED, MLA_CLOSED -> line++;
        default -> {
          String[] words = mla_last_error().getString(StandardCharsets.UTF_8).split("\n");
          return Optional.of(MlaException.of(Status.ofCode(statuses[i]), words[line]));
        }
      }
    }
    return Optional.empty();
  }

  /**
   * From now on the time of steps is counted by operation, from nothing; or no longer. Meanwhile
   * streams of sessions on a GPU fail. It slows small models a little.
   */
  public void setProfiling(boolean on) {
    call(h -> mla_batch_set_profiling(h, on ? 1 : 0));
  }

  /**
   * What was counted so far, of all streams together: weights are read once a step.
   *
   * @throws MlaException where profiling is off
   */
  public Profile profile() {
    lock.lock();
    try {
      return ProfileReader.read(
          profile -> call(h -> mla_batch_profile(h, profile)),
          (operation, row) -> call(h -> mla_batch_profile_row(h, operation, row)));
    } finally {
      lock.unlock();
    }
  }

  /** Bytes of scratch memory, all taken when the batch was made. */
  public long workspaceBytes() {
    long[] bytes = new long[1];
    call(h -> mla_batch_memory(h, bytes));
    return bytes[0];
  }

  private void call(LongToIntFunction call) {
    try {
      Native.check(call.applyAsInt(handle.value()));
    } finally {
      Reference.reachabilityFence(this);
    }
  }

  /** Frees the memory, after a step that runs. Streams may go on alone. Twice is harmless. */
  @Override
  public void close() {
    handle.close();
  }
}
