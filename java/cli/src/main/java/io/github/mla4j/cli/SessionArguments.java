package io.github.mla4j.cli;

import io.github.mla4j.Activations;
import io.github.mla4j.CacheOptions;
import io.github.mla4j.Device;
import io.github.mla4j.Model;
import io.github.mla4j.Prefill;
import io.github.mla4j.Session;
import io.github.mla4j.SessionOptions;
import java.nio.file.Path;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** How a session keeps its cache and how much of the machine it takes. */
final class SessionArguments {
  @Spec(Spec.Target.MIXEE)
  private CommandSpec spec;

  @Option(
      names = "--cache",
      paramLabel = "TYPE",
      description = {
        "How the cache keeps numbers: f32, f16, bf16, int8, int4, int2 (default: f16);",
        "or part by part: latent=int8,rope=f16,group=32,residual=0,sink=0."
      })
  private CacheOptions cache = CacheOptions.defaults();

  @Option(
      names = "--ctx",
      paramLabel = "N",
      description = "Tokens that fit (default: as many as the model was trained for).")
  private Integer context;

  @Option(
      names = "--threads",
      paramLabel = "T",
      description = "Threads that compute (default: one per core).")
  private Integer threads;

  @Mixin private DeviceArguments device;

  /** Where sessions run. */
  Device device() {
    return device.device();
  }

  /** A session of {@code model} as asked for; the caller closes it. */
  Session open(Model model) {
    check();
    return model.newSession(this::configure);
  }

  /** The same for logits that are compared with others'. */
  Session openToCompare(Model model, Prefill prefill) {
    check();
    return model.newSession(
        session -> {
          configure(session);
          session.prefill(prefill).activations(Activations.FINE);
        });
  }

  /** A session that was saved to a file; the caller closes it. */
  Session restore(Model model, Path file) {
    check();
    return model.restoreSession(file, this::configure);
  }

  private void configure(SessionOptions session) {
    session.cache(cache);
    if (context != null) {
      session.contextLength(context);
    }
    if (threads != null) {
      session.threads(threads);
    }
  }

  private void check() {
    requirePositive("--ctx", context);
    requirePositive("--threads", threads);
  }

  private void requirePositive(String option, Integer value) {
    if (value != null && value < 1) {
      throw new ParameterException(
          spec.commandLine(), option + " is " + value + ", expected at least 1");
    }
  }
}
