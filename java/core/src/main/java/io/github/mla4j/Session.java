package io.github.mla4j;

import static io.github.mla4j.bindings.global.mla.MLA_CANCELLED;
import static io.github.mla4j.bindings.global.mla.MLA_CONTEXT_FULL;
import static io.github.mla4j.bindings.global.mla.MLA_OK;
import static io.github.mla4j.bindings.global.mla.mla_session_append;
import static io.github.mla4j.bindings.global.mla.mla_session_append_all;
import static io.github.mla4j.bindings.global.mla.mla_session_append_scored;
import static io.github.mla4j.bindings.global.mla.mla_session_close;
import static io.github.mla4j.bindings.global.mla.mla_session_count_work;
import static io.github.mla4j.bindings.global.mla.mla_session_fork;
import static io.github.mla4j.bindings.global.mla.mla_session_length;
import static io.github.mla4j.bindings.global.mla.mla_session_logits;
import static io.github.mla4j.bindings.global.mla.mla_session_memory;
import static io.github.mla4j.bindings.global.mla.mla_session_profile;
import static io.github.mla4j.bindings.global.mla.mla_session_profile_row;
import static io.github.mla4j.bindings.global.mla.mla_session_rewind;
import static io.github.mla4j.bindings.global.mla.mla_session_save;
import static io.github.mla4j.bindings.global.mla.mla_session_set_profiling;
import static io.github.mla4j.bindings.global.mla.mla_session_set_sampler;

import io.github.mla4j.bindings.MlaSamplerOptions;
import io.github.mla4j.bindings.MlaWork;
import io.github.mla4j.chat.ChatMessage;
import io.github.mla4j.chat.ChatTemplate;
import io.github.mla4j.internal.Handle;
import io.github.mla4j.internal.Native;
import io.github.mla4j.tokenizer.Tokenizer;
import java.lang.ref.Reference;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Consumer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.IntPointer;

/**
 * One sequence of tokens with its cache. Calls are serialized, so any thread may make them; {@link
 * #cancel} and {@link #close} may come from any thread at any time and stop what is running. A call
 * that fails leaves the sequence as it was.
 */
public final class Session implements AutoCloseable {
  private static final int NONE = -1;

  private final Handle handle;
  private final long number; // like no other session's
  private final ModelInfo model;
  private final LazyTokenizer tokenizer;
  private final Optional<ChatTemplate> chatTemplate;
  private final CancelGate gate = new CancelGate();
  private final ReentrantLock lock = new ReentrantLock();

  // Guarded by lock.
  private final TokenHistory history;
  private int unappended = NONE; // what a stream sampled last
  private boolean unappendedIsEnd; // and it ended the stream, so it is no text
  private Optional<FloatBuffer> logits = Optional.empty();

  private volatile Optional<TokenStream> stream = Optional.empty();

  Session(
      ModelInfo model,
      LazyTokenizer tokenizer,
      Optional<ChatTemplate> chatTemplate,
      long handle,
      TokenHistory history) {
    this.history = history;
    this.number = handle;
    this.handle = new Handle(this, "session", handle, h -> mla_session_close(h));
    this.model = model;
    this.tokenizer = tokenizer;
    this.chatTemplate = chatTemplate;
    tokenizer.retain();
  }

  // ---- generating -------------------------------------------------------------------------------

  /** As {@link #generate(String, Consumer)} with default options. */
  public TokenStream generate(String prompt) {
    return generate(prompt, options -> {});
  }

  /**
   * Appends a prompt, beginning with BOS where the session is empty and the vocabulary asks for it,
   * and generates what follows. Text that spells a control token is that token; text that is not
   * trusted is better encoded by {@link Tokenizer#encode(String, boolean, boolean)}.
   *
   * <p>The prompt is evaluated before this returns; a {@link #cancel} meanwhile gives a stream that
   * has ended. The session runs one stream at a time: a new one ends the one before it.
   *
   * @throws ContextFullException where the prompt does not fit
   */
  public TokenStream generate(String prompt, Consumer<GenerateOptions> configure) {
    lock.lock();
    try {
      handle.value(); // a closed session first of all
      boolean first = history.length() == 0 && unappended == NONE;
      return generate(tokenizer.get().encode(prompt, first, true), configure);
    } finally {
      lock.unlock();
    }
  }

  /** As {@link #generate(int[], Consumer)} with default options. */
  public TokenStream generate(int[] prompt) {
    return generate(prompt, options -> {});
  }

  /**
   * Appends a prompt and generates what follows. An empty prompt continues the sequence, from its
   * current logits. What an earlier stream generated last, and was not evaluated since nothing came
   * after it, goes before the prompt.
   */
  public TokenStream generate(int[] prompt, Consumer<GenerateOptions> configure) {
    GenerateOptions options = configured(configure);
    lock.lock();
    try {
      endStream();
      return start(withUnappended(prompt), options);
    } finally {
      lock.unlock();
    }
  }

  /** As {@link #generate(List, Consumer)} with default options. */
  public TokenStream generate(List<ChatMessage> conversation) {
    return generate(conversation, options -> {});
  }

  /**
   * Generates the next turn of a conversation, given from its beginning and rendered by the model's
   * chat template. What the session knows of it already is not evaluated again.
   *
   * @throws MlaException UNSUPPORTED where the model has no chat template
   */
  public TokenStream generate(List<ChatMessage> conversation, Consumer<GenerateOptions> configure) {
    GenerateOptions options = configured(configure);
    lock.lock();
    try {
      handle.value();
      Tokenizer text = tokenizer.get();
      return startAfter(template().encode(text, conversation), options);
    } finally {
      lock.unlock();
    }
  }

  /**
   * Generates what follows a sequence that is given from its beginning. What the session holds of
   * it already is not evaluated again; what it holds besides is forgotten.
   *
   * @param sequence at least one token
   */
  public TokenStream generateAfter(int[] sequence, Consumer<GenerateOptions> configure) {
    GenerateOptions options = configured(configure);
    if (sequence.length == 0) {
      throw new IllegalArgumentException("the sequence is empty, expected at least one token");
    }
    lock.lock();
    try {
      handle.value();
      return startAfter(sequence, options);
    } finally {
      lock.unlock();
    }
  }

  private TokenStream startAfter(int[] sequence, GenerateOptions options) {
    endStream();
    unappended = NONE; // the sequence says what it was
    // The last token is evaluated in any case: its logits are needed.
    int known = Math.min(history.commonPrefix(sequence), sequence.length - 1);
    if (known < history.length()) {
      rewindTo(known);
    }
    return start(Arrays.copyOfRange(sequence, known, sequence.length), options);
  }

  private TokenStream start(int[] prompt, GenerateOptions options) {
    setSampler(options);
    long begin = System.nanoTime();
    int status =
        prompt.length == 0
            ? MLA_OK
            : gate.run(handle.value(), h -> mla_session_append(h, prompt, prompt.length));
    Reference.reachabilityFence(this);
    boolean cancelled = status == MLA_CANCELLED;
    if (!cancelled) {
      Native.check(status);
    }
    if (!cancelled && prompt.length > 0) {
      history.addAll(prompt);
      unappended = NONE;
    }
    TokenStream started =
        new TokenStream(
            this,
            tokenizer.forDecoding(),
            options,
            cancelled ? 0 : prompt.length,
            System.nanoTime() - begin);
    stream = Optional.of(started);
    if (cancelled) {
      started.cancel();
    }
    return started;
  }

  /** For the stream: one step of generation by its own call. Returns the native status. */
  int next(CancelGate.Call step, int[] token) {
    lock.lock();
    try {
      return sampled(gate.run(handle.valueOrZero(), step), token);
    } finally {
      lock.unlock();
      Reference.reachabilityFence(this);
    }
  }

  private int sampled(int status, int[] token) {
    if (status == MLA_OK) {
      if (unappended != NONE) {
        history.add(unappended);
      }
      unappended = token[0];
      unappendedIsEnd = false;
    }
    return status;
  }

  /**
   * For a batch, {@link #next} in parts around a call for many sessions: holds this one until
   * {@link #endStep}. Who holds many takes them in the order of their {@link #number}.
   *
   * @return the handle for the call
   */
  long beginStep() {
    lock.lock();
    gate.begin();
    return handle.valueOrZero();
  }

  /** Takes what the call said of this session; {@code again} makes it for this one alone. */
  int settleStep(int status, CancelGate.Call again, int[] token) {
    return sampled(gate.settle(handle.valueOrZero(), status, again), token);
  }

  void endStep() {
    gate.end();
    lock.unlock();
    Reference.reachabilityFence(this);
  }

  /** By this sessions can be put in an order. */
  long number() {
    return number;
  }

  ModelInfo model() {
    return model;
  }

  /** For the stream: the token it got last ended it. */
  void lastWasEnd() {
    lock.lock();
    try {
      unappendedIsEnd = true;
    } finally {
      lock.unlock();
    }
  }

  private int[] withUnappended(int[] prompt) {
    // Before an empty prompt the native side appends it by itself.
    if (prompt.length == 0 || unappended == NONE || unappendedIsEnd) {
      return prompt.clone();
    }
    int[] tokens = new int[prompt.length + 1];
    tokens[0] = unappended;
    System.arraycopy(prompt, 0, tokens, 1, prompt.length);
    return tokens;
  }

  private void setSampler(GenerateOptions options) {
    int[] tokens = options.biasTokens();
    float[] values = options.biasValues(tokens);
    try (MlaSamplerOptions sampler = options.toNative()) {
      call(h -> mla_session_set_sampler(h, sampler, tokens, values, tokens.length));
    }
  }

  private ChatTemplate template() {
    return chatTemplate.orElseThrow(
        () ->
            new MlaException(
                Status.UNSUPPORTED,
                "model " + model.name() + " has no chat template (tokenizer.chat_template)"));
  }

  private static GenerateOptions configured(Consumer<GenerateOptions> configure) {
    GenerateOptions options = new GenerateOptions();
    configure.accept(options);
    return options;
  }

  private void endStream() {
    stream.ifPresent(TokenStream::cancel);
    stream = Optional.empty();
  }

  // ---- evaluating -------------------------------------------------------------------------------

  /** Appends tokens; {@link #logits} are then those after the last. */
  public void append(int... tokens) {
    evaluate(tokens, h -> mla_session_append(h, tokens, tokens.length));
  }

  /**
   * Appends tokens and scores them: element i is ln p(tokens[i + 1] | everything up to tokens[i]),
   * so there is one less than tokens. Memory is bounded whatever the length.
   */
  public float[] score(int... tokens) {
    float[] scores = new float[Math.max(0, tokens.length - 1)];
    evaluate(
        tokens,
        h -> mla_session_append_scored(h, tokens, tokens.length, scores, (long) scores.length));
    return scores;
  }

  /** Appends tokens and gives the logits after each: [tokens][vocabulary]. */
  public float[][] logitsAll(int... tokens) {
    int width = model.vocabularySize();
    long count = (long) tokens.length * width;
    try (IntPointer ids = new IntPointer(tokens);
        FloatPointer all = new FloatPointer(count)) {
      evaluate(tokens, h -> mla_session_append_all(h, ids, tokens.length, all, count));
      float[][] rows = new float[tokens.length][width];
      for (int i = 0; i < rows.length; i++) {
        all.position((long) i * width).get(rows[i]);
      }
      return rows;
    }
  }

  /**
   * The logits after the last token, before any sampling change: the session's own direct buffer of
   * vocabulary size, overwritten by the next call of this method.
   *
   * @throws MlaException where there are none, as at the beginning and after {@link #rewind}
   */
  public FloatBuffer logits() {
    lock.lock();
    try {
      FloatBuffer own = logits.orElseGet(() -> directFloats(model.vocabularySize()));
      logits = Optional.of(own);
      // JavaCPP begins to write at the position, which whoever reads the last logits moves, perhaps
      // now.
      FloatBuffer target = own.duplicate().clear();
      call(h -> mla_session_logits(h, target, target.capacity()));
      return own.clear();
    } finally {
      lock.unlock();
    }
  }

  /** As {@link #logits()}, into the remaining room of a direct buffer; its position moves on. */
  public void logits(FloatBuffer out) {
    if (!out.isDirect() || out.order() != ByteOrder.nativeOrder()) {
      throw new IllegalArgumentException("the buffer must be direct, in native byte order");
    }
    lock.lock();
    try {
      FloatBuffer target = out.slice();
      call(h -> mla_session_logits(h, target, target.remaining()));
      out.position(out.position() + model.vocabularySize());
    } finally {
      lock.unlock();
    }
  }

  private void evaluate(int[] tokens, CancelGate.Call append) {
    lock.lock();
    try {
      endStream();
      Native.check(gate.run(handle.value(), append));
      unappended = NONE;
      history.addAll(tokens);
    } finally {
      lock.unlock();
      Reference.reachabilityFence(this);
    }
  }

  // ---- the sequence -----------------------------------------------------------------------------

  /**
   * Tokens in the cache. The last token of a stream is not among them until the next generation
   * puts it there.
   */
  public int length() {
    int[] length = new int[1];
    call(h -> mla_session_length(h, length));
    return length[0];
  }

  /** Forgets all tokens from this position on, and the current logits. */
  public void rewind(int length) {
    lock.lock();
    try {
      endStream();
      rewindTo(length);
      unappended = NONE;
    } finally {
      lock.unlock();
    }
  }

  private void rewindTo(int length) {
    call(h -> mla_session_rewind(h, length));
    history.truncate(length);
  }

  /** The tokens that {@link #length} counts. */
  public int[] tokens() {
    lock.lock();
    try {
      handle.value();
      return history.toArray();
    } finally {
      lock.unlock();
      Reference.reachabilityFence(this);
    }
  }

  /**
   * A session of the same tokens that goes on by itself and draws the same numbers; the caller
   * closes it. Both share the cache's memory until one of them writes to it, so that a fork of a
   * long prompt costs next to nothing.
   */
  public Session fork() {
    lock.lock();
    try {
      long[] out = new long[1];
      call(h -> mla_session_fork(h, out));
      Session fork = new Session(model, tokenizer, chatTemplate, out[0], history.copy());
      fork.unappended = unappended;
      fork.unappendedIsEnd = unappendedIsEnd;
      return fork;
    } finally {
      lock.unlock();
    }
  }

  /**
   * Writes the sequence with its cache and logits to a file, for {@link Model#restoreSession}. What
   * a stream generated last and was not evaluated yet is evaluated first, so that it is among them.
   * Whatever happens meanwhile, the file is complete or what it was before.
   */
  public void save(Path file) {
    lock.lock();
    try {
      if (unappended != NONE && !unappendedIsEnd) {
        int[] last = {unappended};
        int status = gate.run(handle.value(), h -> mla_session_append(h, last, 1));
        // Where the context is full, the file ends before it.
        if (status != MLA_CONTEXT_FULL) {
          Native.check(status);
          history.add(unappended);
          unappended = NONE;
        }
      }
      call(h -> mla_session_save(h, file.toString()));
    } finally {
      lock.unlock();
      Reference.reachabilityFence(this);
    }
  }

  /** What the session holds now. */
  public SessionMemory memory() {
    long[] cache = new long[1];
    long[] workspace = new long[1];
    call(h -> mla_session_memory(h, cache, workspace));
    return new SessionMemory(cache[0], workspace[0]);
  }

  // ---- measuring --------------------------------------------------------------------------------

  /**
   * The work of appending tokens at once to a sequence of others, with this session's cache and
   * form of prompts, and of the logits after the last. The session itself stays as it is.
   *
   * @param first tokens of that sequence, at least 0
   * @param count tokens appended, at least 1; all of them within the session's context
   */
  public Work countWork(int first, int count) {
    try (MlaWork work = new MlaWork()) {
      work.struct_size(work.sizeof());
      call(h -> mla_session_count_work(h, first, count, work));
      return new Work(
          work.weight_bytes(),
          work.cache_bytes(),
          work.float_multiply_adds(),
          work.integer_multiply_adds());
    }
  }

  /**
   * From now on the time of appending and sampling is counted by operation, from nothing; or no
   * longer. Forks are not profiled. It slows small models a little.
   */
  public void setProfiling(boolean on) {
    call(h -> mla_session_set_profiling(h, on ? 1 : 0));
  }

  /**
   * What was counted so far.
   *
   * @throws MlaException where profiling is off
   */
  public Profile profile() {
    lock.lock();
    try {
      return ProfileReader.read(
          profile -> call(h -> mla_session_profile(h, profile)),
          (operation, row) -> call(h -> mla_session_profile_row(h, operation, row)));
    } finally {
      lock.unlock();
    }
  }

  // ---- ending -----------------------------------------------------------------------------------

  /**
   * Stops what the session is doing: a running call throws {@link CancelledException}, a stream
   * ends as {@link FinishReason#CANCELLED}. Where nothing runs, nothing happens. Any thread.
   */
  public void cancel() {
    stream.ifPresent(TokenStream::cancel);
    if (!handle.isClosed()) {
      gate.cancel(handle.value());
    }
    Reference.reachabilityFence(this);
  }

  /** Stops what is running and frees the cache. Closing twice is harmless. Any thread. */
  @Override
  public void close() {
    if (handle.closeOnce()) {
      tokenizer.release();
    }
  }

  private void call(CancelGate.Call call) {
    try {
      Native.check(call.on(handle.value()));
    } finally {
      Reference.reachabilityFence(this);
    }
  }

  private static FloatBuffer directFloats(int count) {
    return ByteBuffer.allocateDirect(count * Float.BYTES)
        .order(ByteOrder.nativeOrder())
        .asFloatBuffer();
  }
}
