package io.github.mla4j.convert.heal;

import io.github.mla4j.CacheType;
import io.github.mla4j.gguf.TensorType;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;

/**
 * What to heal, and how.
 *
 * @param converted a file of {@code mla convert}
 * @param teacher the model that it was converted from: a GGUF file or a Hugging Face folder
 * @param data UTF-8 texts, read one after the other
 * @param output the GGUF file to write
 * @param length what ends the run
 * @param resume go on from the checkpoint beside {@code output}, where there is one
 * @param options everything else
 */
public record HealRequest(
    Path converted,
    Path teacher,
    List<Path> data,
    Path output,
    HealLength length,
    boolean resume,
    Options options) {

  public HealRequest {
    Objects.requireNonNull(converted, "converted");
    Objects.requireNonNull(teacher, "teacher");
    data = List.copyOf(data);
    Objects.requireNonNull(output, "output");
    Objects.requireNonNull(length, "length");
    Objects.requireNonNull(options, "options");
    if (data.isEmpty()) {
      throw new IllegalArgumentException("no data: expected at least one text");
    }
  }

  /**
   * What has a default.
   *
   * @param trained which tensors change
   * @param loss what is brought down
   * @param schedule of the learning rate
   * @param rate at its peak, as the schedule means it; empty: the schedule's own
   * @param cache that the model learns to live with
   * @param windowTokens of a sequence; empty: {@link #DEFAULT_WINDOW_TOKENS}, or the model's
   *     context where that is shorter
   * @param batch sequences of a step
   * @param seed of the order of the text
   * @param device what computes
   * @param precision of matrix products; empty: what this machine does faster
   * @param type of the matrices that are written; empty: as they were, but at least Q8_0 for those
   *     that have changed
   */
  public record Options(
      Trained trained,
      HealLoss loss,
      HealSchedule schedule,
      OptionalDouble rate,
      CacheType cache,
      OptionalInt windowTokens,
      int batch,
      long seed,
      HealDevice device,
      Optional<Precision> precision,
      Optional<TensorType> type) {
    /** Tokens of a sequence; see java/convert/README.md for what longer ones gain. */
    public static final int DEFAULT_WINDOW_TOKENS = 1024;

    /** One sequence for each of two cores. */
    public static final int DEFAULT_BATCH = 2;

    public Options {
      Objects.requireNonNull(trained, "trained");
      Objects.requireNonNull(loss, "loss");
      Objects.requireNonNull(schedule, "schedule");
      Objects.requireNonNull(rate, "rate");
      Objects.requireNonNull(cache, "cache");
      Objects.requireNonNull(device, "device");
      Objects.requireNonNull(precision, "precision");
      Objects.requireNonNull(type, "type");
      Objects.requireNonNull(windowTokens, "windowTokens");
      int window = windowTokens.orElse(DEFAULT_WINDOW_TOKENS);
      require(window >= 2, "windowTokens", window, "at least 2");
      require(batch >= 1, "batch", batch, "at least 1");
      require(
          rate.isEmpty() || (rate.getAsDouble() > 0 && rate.getAsDouble() < 1),
          "rate",
          rate.orElse(0),
          "more than 0 and less than 1");
    }

    private static void require(boolean holds, String name, Object value, String expected) {
      if (!holds) {
        throw new IllegalArgumentException(name + " is " + value + ", expected " + expected);
      }
    }

    /** The defaults. */
    public static Options defaults() {
      return new Options(
          Trained.ATTENTION,
          HealLoss.BOTH,
          HealSchedule.SHORT,
          OptionalDouble.empty(),
          CacheType.F16,
          OptionalInt.empty(),
          DEFAULT_BATCH,
          1,
          HealDevice.CPU,
          Optional.empty(),
          Optional.empty());
    }

    /** Tokens of a sequence of a model with a context of so many. */
    int windowTokensWithin(int context) {
      return windowTokens.orElse(Math.min(DEFAULT_WINDOW_TOKENS, context));
    }

    /** The peak of the rate. */
    public double peakRate() {
      return rate.orElse(schedule.defaultRate());
    }
  }
}
