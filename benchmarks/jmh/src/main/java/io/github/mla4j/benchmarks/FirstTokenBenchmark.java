package io.github.mla4j.benchmarks;

import io.github.mla4j.Model;
import io.github.mla4j.Session;
import io.github.mla4j.Token;
import io.github.mla4j.TokenStream;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.Warmup;

/**
 * From a file, in memory already, to a text's first token. A fork's first iteration is of a fresh
 * JVM, the others of one that has done it before.
 */
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Warmup(iterations = 0)
@Measurement(iterations = 6)
@Fork(3)
@State(Scope.Thread)
public class FirstTokenBenchmark {
  @Param("../shared/models/SmolLM2-135M-Instruct.Q4_1.gguf")
  private String model;

  @Benchmark
  public Token loadAndGenerate() {
    try (Model opened = Model.load(Path.of(model));
        Session session = opened.newSession();
        TokenStream stream = session.generate("The sea")) {
      return stream.next();
    }
  }
}
