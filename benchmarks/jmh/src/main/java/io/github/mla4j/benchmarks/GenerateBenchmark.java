package io.github.mla4j.benchmarks;

import static io.github.mla4j.bindings.global.mla.MLA_OK;
import static io.github.mla4j.bindings.global.mla.mla_last_error;
import static io.github.mla4j.bindings.global.mla.mla_model_close;
import static io.github.mla4j.bindings.global.mla.mla_model_load;
import static io.github.mla4j.bindings.global.mla.mla_session_append;
import static io.github.mla4j.bindings.global.mla.mla_session_close;
import static io.github.mla4j.bindings.global.mla.mla_session_create;
import static io.github.mla4j.bindings.global.mla.mla_session_next;
import static io.github.mla4j.bindings.global.mla.mla_session_rewind;
import static io.github.mla4j.bindings.global.mla.mla_session_set_sampler;

import io.github.mla4j.Model;
import io.github.mla4j.Session;
import io.github.mla4j.TokenStream;
import io.github.mla4j.bindings.MlaSamplerOptions;
import io.github.mla4j.bindings.MlaSessionOptions;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.bytedeco.javacpp.Pointer;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;
import org.openjdk.jmh.infra.Blackhole;

/**
 * What the Java layer costs a token: the same tokens of the same model as a stream of text, and by
 * calls of the C API alone. One thread computes, so that nothing waits. The smaller the model, the
 * more the layer weighs.
 */
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Warmup(iterations = 3, time = 2)
@Measurement(iterations = 5, time = 2)
@Fork(3)
public class GenerateBenchmark {
  private static final int TOKENS = 256;

  /** As a user of the library does it. */
  @State(Scope.Thread)
  public static class Stream {
    @Param("../shared/models/stories260K.gguf")
    private String model;

    private Model opened;
    private Session session;
    private int[] prompt;
    private Map<Integer, Float> bias;

    @Setup
    public void open() {
      opened = Model.load(Path.of(model));
      session = opened.newSession(options -> options.threads(1));
      prompt = new int[] {opened.tokenizer().bos().orElse(0)};
      bias = Map.of(opened.tokenizer().eos().orElseThrow(), Float.NEGATIVE_INFINITY);
    }

    @TearDown
    public void close() {
      session.close();
      opened.close();
    }
  }

  /** The C API. */
  @State(Scope.Thread)
  public static class Raw {
    @Param("../shared/models/stories260K.gguf")
    private String model;

    private long opened;
    private long session;
    private int[] prompt;
    private final int[] token = new int[1];
    private final float[] logProbability = new float[1];

    @Setup
    public void open() {
      long[] out = new long[1];
      check(mla_model_load(model, out));
      opened = out[0];
      int[] end = new int[1];
      try (Model vocabulary = Model.load(Path.of(model))) {
        prompt = new int[] {vocabulary.tokenizer().bos().orElse(0)};
        end[0] = vocabulary.tokenizer().eos().orElseThrow();
      }
      try (MlaSessionOptions options = new MlaSessionOptions();
          MlaSamplerOptions sampler = new MlaSamplerOptions()) {
        Pointer.memset(options, 0, options.sizeof());
        options.struct_size(options.sizeof()).threads(1);
        check(mla_session_create(opened, options, out));
        session = out[0];
        Pointer.memset(sampler, 0, sampler.sizeof());
        sampler.struct_size(sampler.sizeof());
        float[] ban = {Float.NEGATIVE_INFINITY};
        check(mla_session_set_sampler(session, sampler, end, ban, 1));
      }
    }

    @TearDown
    public void close() {
      check(mla_session_close(session));
      check(mla_model_close(opened));
    }
  }

  @Benchmark
  @OperationsPerInvocation(TOKENS)
  public void tokenStream(Stream state, Blackhole hole) {
    state.session.rewind(0);
    try (TokenStream stream =
        state.session.generate(
            state.prompt, options -> options.maxTokens(TOKENS).logitBias(state.bias))) {
      while (stream.hasNext()) {
        hole.consume(stream.next());
      }
    }
  }

  @Benchmark
  @OperationsPerInvocation(TOKENS)
  public void rawCalls(Raw state, Blackhole hole) {
    check(mla_session_rewind(state.session, 0));
    check(mla_session_append(state.session, state.prompt, state.prompt.length));
    for (int i = 0; i < TOKENS; i++) {
      check(mla_session_next(state.session, state.token, state.logProbability));
      hole.consume(state.token[0]);
    }
  }

  private static void check(int status) {
    if (status != MLA_OK) {
      throw new IllegalStateException(mla_last_error().getString());
    }
  }
}
