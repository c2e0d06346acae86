package io.github.mla4j.convert.source;

import io.github.mla4j.BadFileException;
import io.github.mla4j.MlaException;
import io.github.mla4j.Status;
import io.github.mla4j.gguf.Gguf;
import io.github.mla4j.gguf.GgufTensor;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;

/** Reads the sizes of a plain model from a GGUF file's keys. */
final class GgufConfig {
  private static final String ROPE_DIVISORS = "rope_freqs.weight";

  private final Gguf file;
  private final String architecture;
  private final ModelFamily family;

  private GgufConfig(Gguf file) {
    this.file = file;
    this.architecture =
        file.string("general.architecture")
            .orElseThrow(() -> bad("key 'general.architecture' is missing"));
    this.family =
        switch (architecture) {
          case "llama", "mistral" -> ModelFamily.LLAMA;
          case "qwen2" -> ModelFamily.QWEN2;
          case "qwen3" -> ModelFamily.QWEN3;
          case "mha2mla" ->
              throw new MlaException(
                  Status.UNSUPPORTED, file.name() + ": is converted already (mha2mla)");
          default ->
              throw new MlaException(
                  Status.UNSUPPORTED,
                  "%s: architecture '%s' cannot be converted: expected llama, qwen2 or qwen3"
                      .formatted(file.name(), architecture));
        };
  }

  static ModelConfig parse(Gguf file) {
    return new GgufConfig(file).parse();
  }

  private ModelConfig parse() {
    int heads = required("attention.head_count");
    int kvHeads = optional("attention.head_count_kv").orElse(heads);
    int embedding = required("embedding_length");
    if (heads % kvHeads != 0) {
      throw bad(
          "key '%s' is %d: expected a divisor of head_count = %d"
              .formatted(key("attention.head_count_kv"), kvHeads, heads));
    }
    int headLength = optional("attention.key_length").orElse(embedding / heads);
    same("attention.value_length", headLength);
    same("rope.dimension_count", headLength);
    if (headLength % 2 != 0) {
      throw bad("heads of %d dims: expected an even number".formatted(headLength));
    }
    int context = required("context_length");
    OptionalInt window = optional("attention.sliding_window");
    return new ModelConfig(
        family,
        required("block_count"),
        context,
        embedding,
        required("feed_forward_length"),
        vocabularySize(),
        heads,
        kvHeads,
        headLength,
        real("attention.layer_norm_rms_epsilon", 1e-5),
        window.isPresent() && window.getAsInt() < context ? window : OptionalInt.empty(),
        RopeFrequencies.of(
            headLength, real("rope.freq_base", 10_000), scaling(headLength, context)),
        file.tensor(DecoderTensors.OUTPUT).isEmpty());
  }

  private int vocabularySize() {
    GgufTensor embedding =
        file.tensor(DecoderTensors.EMBEDDING)
            .orElseThrow(() -> bad("tensor '%s' is missing".formatted(DecoderTensors.EMBEDDING)));
    return Math.toIntExact(embedding.elements() / Math.max(1, embedding.columns()));
  }

  private RopeScaling scaling(int headLength, int context) {
    double legacy = real("rope.scale_linear", 1);
    double factor = real("rope.scaling.factor", legacy);
    String type = file.string(key("rope.scaling.type")).orElse(legacy == 1 ? "none" : "linear");
    RopeScaling scaling =
        switch (type) {
          case "none" -> new RopeScaling.None();
          case "linear" -> new RopeScaling.Linear(factor);
          case "yarn" ->
              new RopeScaling.Yarn(
                  factor,
                  optional("rope.scaling.original_context_length").orElse(context),
                  real("rope.scaling.yarn_beta_fast", 32),
                  real("rope.scaling.yarn_beta_slow", 1),
                  real("rope.scaling.attn_factor", 1)
                      * RopeScaling.Yarn.defaultAttentionFactor(factor),
                  true);
          default ->
              throw new MlaException(
                  Status.UNSUPPORTED,
                  "%s: key '%s' is '%s': expected none, linear or yarn"
                      .formatted(file.name(), key("rope.scaling.type"), type));
        };
    return file.tensor(ROPE_DIVISORS).isEmpty()
        ? scaling
        : new RopeScaling.Divided(divisors(headLength / 2), scaling);
  }

  private float[] divisors(int pairs) {
    float[] divisors = file.readFloats(ROPE_DIVISORS);
    if (divisors.length != pairs) {
      throw bad(
          "tensor '%s' has %d elements: expected %d, one a rotary pair"
              .formatted(ROPE_DIVISORS, divisors.length, pairs));
    }
    for (float divisor : divisors) {
      if (!(divisor > 0)) {
        throw bad(
            "tensor '%s' holds %s: expected numbers above 0".formatted(ROPE_DIVISORS, divisor));
      }
    }
    return divisors;
  }

  private void same(String suffix, int expected) {
    int value = optional(suffix).orElse(expected);
    if (value != expected) {
      throw new MlaException(
          Status.UNSUPPORTED,
          "%s: key '%s' is %d: expected the head length %d"
              .formatted(file.name(), key(suffix), value, expected));
    }
  }

  private int required(String suffix) {
    return optional(suffix).orElseThrow(() -> bad("key '%s' is missing".formatted(key(suffix))));
  }

  private OptionalInt optional(String suffix) {
    OptionalLong value = file.integer(key(suffix));
    if (value.isEmpty()) {
      return OptionalInt.empty();
    }
    if (value.getAsLong() < 1 || value.getAsLong() > Integer.MAX_VALUE) {
      throw bad(
          "key '%s' is %d: expected a number above 0".formatted(key(suffix), value.getAsLong()));
    }
    return OptionalInt.of((int) value.getAsLong());
  }

  private double real(String suffix, double absent) {
    OptionalDouble value = file.real(key(suffix));
    if (value.isPresent()
        && (!(value.getAsDouble() > 0) || Double.isInfinite(value.getAsDouble()))) {
      throw bad(
          "key '%s' is %s: expected a number above 0".formatted(key(suffix), value.getAsDouble()));
    }
    return value.orElse(absent);
  }

  private String key(String suffix) {
    return architecture + "." + suffix;
  }

  private BadFileException bad(String problem) {
    return new BadFileException(file.name() + ": " + problem);
  }
}
