package io.github.mla4j;

import io.github.mla4j.bindings.MlaSessionOptions;
import java.util.Objects;
import org.bytedeco.javacpp.Pointer;

/** What {@link Model#newSession} may be told; everything has a default. Not thread-safe. */
public final class SessionOptions {
  private CacheOptions cache = CacheOptions.defaults();
  private int contextLength;
  private int threads;
  private Prefill prefill = Prefill.AUTO;
  private Activations activations = Activations.MIXED;
  private Device device;

  SessionOptions(Device device) {
    this.device = device;
  }

  /** The cache's type; f16 by default. */
  public SessionOptions cache(CacheType type) {
    return cache(CacheOptions.of(type));
  }

  /** The cache's types and windows, part by part. */
  public SessionOptions cache(CacheOptions options) {
    cache = options;
    return this;
  }

  /** Tokens that fit; the model's own by default, which is also the most. */
  public SessionOptions contextLength(int tokens) {
    contextLength = Require.positive("contextLength", tokens);
    return this;
  }

  /** Threads that compute; all cores by default. */
  public SessionOptions threads(int count) {
    threads = Require.positive("threads", count);
    return this;
  }

  /** How prompts are computed; by cost by default. */
  public SessionOptions prefill(Prefill how) {
    prefill = how;
    return this;
  }

  /** How finely activations are rounded; mixed by default. */
  public SessionOptions activations(Activations kind) {
    activations = Objects.requireNonNull(kind, "activations");
    return this;
  }

  /** What computes; as the model was loaded for by default. */
  public SessionOptions device(Device where) {
    device = Objects.requireNonNull(where, "device");
    return this;
  }

  MlaSessionOptions toNative() {
    MlaSessionOptions options = new MlaSessionOptions();
    Pointer.memset(options, 0, options.sizeof());
    options
        .struct_size(options.sizeof())
        .context_length(contextLength)
        .threads(threads)
        .prefill(prefill.ordinal())
        .activations(activations.ordinal())
        .device(device.code());
    cache.writeTo(options.cache());
    return options;
  }
}
