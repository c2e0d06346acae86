package io.github.mla4j;

import static io.github.mla4j.bindings.global.mla.mla_batch_create;
import static io.github.mla4j.bindings.global.mla.mla_model_cache_bytes_per_token;
import static io.github.mla4j.bindings.global.mla.mla_model_close;
import static io.github.mla4j.bindings.global.mla.mla_model_get_info;
import static io.github.mla4j.bindings.global.mla.mla_model_load_gguf;
import static io.github.mla4j.bindings.global.mla.mla_session_create;
import static io.github.mla4j.bindings.global.mla.mla_session_restore;
import static io.github.mla4j.bindings.global.mla.mla_session_tokens;

import io.github.mla4j.bindings.MlaBatchOptions;
import io.github.mla4j.bindings.MlaCacheOptions;
import io.github.mla4j.bindings.MlaModelInfo;
import io.github.mla4j.bindings.MlaSessionOptions;
import io.github.mla4j.chat.ChatTemplate;
import io.github.mla4j.gguf.Gguf;
import io.github.mla4j.internal.Handle;
import io.github.mla4j.internal.Native;
import io.github.mla4j.tokenizer.Tokenizer;
import java.lang.ref.Reference;
import java.nio.file.Path;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Consumer;

/**
 * A model's weights and vocabulary, immutable: any thread, in parallel. Sessions keep the weights
 * alive, so models and sessions may be closed in any order; a closed model makes no new sessions.
 */
public final class Model implements AutoCloseable {
  private final Handle handle;
  private final ModelInfo info;
  private final LazyTokenizer tokenizer;
  private final Optional<ChatTemplate> chatTemplate;
  private final Device device;

  private Model(Gguf file, Device device) {
    this.device = Objects.requireNonNull(device, "device");
    long[] out = new long[1];
    Native.check(mla_model_load_gguf(file.handle(), out));
    Reference.reachabilityFence(file);
    handle = new Handle(this, "model " + file.name(), out[0], h -> mla_model_close(h));
    info = readInfo(out[0], file);
    tokenizer = LazyTokenizer.of(file);
    chatTemplate = ChatTemplate.read(file);
  }

  /**
   * Loads a GGUF file, checking every tensor. The file stays mapped while the model or a session of
   * it lives. The caller closes the model.
   */
  public static Model load(Path path) {
    return load(path, Device.CPU);
  }

  /** The same, whose sessions run on a device unless they are told otherwise. */
  public static Model load(Path path, Device device) {
    try (Gguf file = Gguf.open(path)) {
      return new Model(file, device);
    }
  }

  /** Loads from an open file, on disk or in memory, which may be closed afterwards. */
  public static Model load(Gguf file) {
    return load(file, Device.CPU);
  }

  /** The same, whose sessions run on a device unless they are told otherwise. */
  public static Model load(Gguf file, Device device) {
    return new Model(file, device);
  }

  public ModelInfo info() {
    return info;
  }

  /**
   * The tokenizer, built at the first call.
   *
   * @throws MlaException where the file has no vocabulary, or one of a kind that is not supported
   */
  public Tokenizer tokenizer() {
    return tokenizer.get();
  }

  /** Whether there is a vocabulary to build {@link #tokenizer} from. */
  public boolean hasVocabulary() {
    return tokenizer.hasVocabulary();
  }

  /** The chat template that the file carries. */
  public Optional<ChatTemplate> chatTemplate() {
    return chatTemplate;
  }

  /**
   * Bytes that one token takes in the cache as the context grows without end: scales, padding and
   * key scalars counted, and nothing left of the tokens that are held in f16 besides.
   */
  public double cacheBytesPerToken(CacheOptions cache) {
    return bytesPerToken(cache, 0);
  }

  /**
   * Bytes that one token takes in the cache of a context of so many tokens: also its share of the
   * newest and first tokens that are held in f16 besides.
   *
   * @param contextLength at least 1
   */
  public double cacheBytesPerToken(CacheOptions cache, int contextLength) {
    if (contextLength < 1) {
      throw new IllegalArgumentException(
          "contextLength is " + contextLength + ", expected at least 1");
    }
    return bytesPerToken(cache, contextLength);
  }

  private double bytesPerToken(CacheOptions cache, int contextLength) {
    double[] bytes = new double[1];
    try (MlaCacheOptions options = new MlaCacheOptions()) {
      cache.writeTo(options);
      Native.check(mla_model_cache_bytes_per_token(handle.value(), options, contextLength, bytes));
    } finally {
      Reference.reachabilityFence(this);
    }
    return bytes[0];
  }

  /** A session with default options; the caller closes it. */
  public Session newSession() {
    return newSession(options -> {});
  }

  /**
   * A new sequence with a cache of its own; the caller closes it. The first one begins, in the
   * background, to build what {@link #tokenizer} needs to encode.
   */
  public Session newSession(Consumer<SessionOptions> configure) {
    SessionOptions options = new SessionOptions(device);
    configure.accept(options);
    tokenizer.prepare();
    long[] out = new long[1];
    try (MlaSessionOptions nativeOptions = options.toNative()) {
      Native.check(mla_session_create(handle.value(), nativeOptions, out));
    } finally {
      Reference.reachabilityFence(this);
    }
    return new Session(info, tokenizer, chatTemplate, out[0], new TokenHistory());
  }

  /** A session that goes on where one was saved; the caller closes it. */
  public Session restoreSession(Path file) {
    return restoreSession(file, options -> {});
  }

  /**
   * A session that goes on where one was saved by {@link Session#save}, with the same logits; the
   * caller closes it.
   *
   * @param configure as for a new session, but the cache is the file's
   * @throws BadFileException if the file is damaged or no session
   * @throws MlaException INVALID_ARGUMENT if it was saved of another model
   * @throws ContextFullException if it has more tokens than the context asked for
   */
  public Session restoreSession(Path file, Consumer<SessionOptions> configure) {
    SessionOptions options = new SessionOptions(device);
    configure.accept(options);
    tokenizer.prepare();
    long[] out = new long[1];
    try (MlaSessionOptions nativeOptions = options.toNative()) {
      Native.check(mla_session_restore(handle.value(), file.toString(), nativeOptions, out));
      int[] count = new int[1];
      Native.check(mla_session_tokens(out[0], new int[0], 0, count));
      int[] tokens = new int[count[0]];
      Native.check(mla_session_tokens(out[0], tokens, tokens.length, count));
      TokenHistory history = new TokenHistory();
      history.addAll(tokens);
      return new Session(info, tokenizer, chatTemplate, out[0], history);
    } finally {
      Reference.reachabilityFence(this);
    }
  }

  /** A batch for steps of at most so many sessions; the caller closes it. */
  public Batch newBatch(int maxSessions) {
    return newBatch(options -> options.maxSessions(maxSessions));
  }

  /** A batch, in which sessions of this model generate together; the caller closes it. */
  public Batch newBatch(Consumer<BatchOptions> configure) {
    BatchOptions options = new BatchOptions();
    configure.accept(options);
    long[] out = new long[1];
    try (MlaBatchOptions nativeOptions = options.toNative()) {
      Native.check(mla_batch_create(handle.value(), nativeOptions, out));
    } finally {
      Reference.reachabilityFence(this);
    }
    return new Batch(info, out[0], options.maxSessions());
  }

  /** Lets go of the weights, which live on while sessions use them. Closing twice is harmless. */
  @Override
  public void close() {
    if (handle.closeOnce()) {
      tokenizer.release();
    }
  }

  private static ModelInfo readInfo(long handle, Gguf file) {
    try (MlaModelInfo read = new MlaModelInfo()) {
      read.struct_size(read.sizeof());
      Native.check(mla_model_get_info(handle, read));
      return new ModelInfo(
          file.string("general.name").orElse(""),
          file.string("general.architecture").orElse(""),
          read.layers(),
          read.embedding_length(),
          read.vocabulary_size(),
          read.context_length(),
          read.heads(),
          read.kv_heads(),
          read.head_length(),
          read.converted() != 0,
          read.parameters(),
          read.weight_bytes());
    }
  }
}
