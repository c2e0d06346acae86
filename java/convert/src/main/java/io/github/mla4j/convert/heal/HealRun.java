package io.github.mla4j.convert.heal;

import io.github.mla4j.CancelledException;
import io.github.mla4j.convert.torch.GradientClip;
import io.github.mla4j.convert.torch.GradientWorkers;
import io.github.mla4j.convert.torch.HeadwiseOptimizer;
import io.github.mla4j.convert.torch.StepSizes;
import io.github.mla4j.convert.torch.TorchScope;
import io.github.mla4j.convert.train.TokenWindows;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import java.util.function.ToDoubleFunction;

/** A run's loop: steps, checkpoints, reports. Not thread-safe. */
final class HealRun implements AutoCloseable {
  private static final double FIRST_DECAY = 0.9;
  private static final double SECOND_DECAY = 0.95;
  private static final double LARGEST_GRADIENT = 1;
  private static final Duration BETWEEN_CHECKPOINTS = Duration.ofMinutes(2);
  private static final Duration BETWEEN_REPORTS = Duration.ofSeconds(5);

  private final HealLength length;
  private final HealRequest.Options options;
  private final Distillation distillation;
  private final TokenWindows windows;
  private final TorchPlace place;
  private final GradientWorkers workers;
  private final HeadwiseOptimizer optimizer;
  private final StepSizes sizes;
  private final HealCheckpoint checkpoint;
  private final LossHistory losses = new LossHistory();
  private RunClock clock;

  /**
   * @param distillation borrowed
   * @param checkpointFile where the run keeps what is done
   * @param settings that decide what the run does, "name: value" a line
   */
  HealRun(
      HealLength length,
      HealRequest.Options options,
      Distillation distillation,
      TokenWindows windows,
      TorchPlace place,
      Path checkpointFile,
      String settings) {
    this.length = length;
    this.options = options;
    this.distillation = distillation;
    this.windows = windows;
    this.place = place;
    optimizer =
        new HeadwiseOptimizer(
            distillation.trained().all(),
            options.schedule().isRelative() ? distillation.student().blocks() : Map.of(),
            FIRST_DECAY,
            SECOND_DECAY);
    sizes = new StepSizes(distillation.trained());
    workers = new GradientWorkers(distillation.trained(), shares());
    checkpoint = new HealCheckpoint(checkpointFile, settings, distillation.trained(), optimizer);
    clock = new RunClock(length, Duration.ZERO, 0, System::nanoTime);
  }

  /** A sequence for each core; a GPU takes the batch as it is. */
  private int shares() {
    return place.isCpu() ? options.batch() : 1;
  }

  /** Goes on from the checkpoint. */
  void resume(HealListener listener) throws IOException {
    HealCheckpoint.Position position = checkpoint.read(losses);
    distillation.student().tensors().refresh();
    clock = new RunClock(length, position.elapsed(), position.steps(), System::nanoTime);
    listener.onResume(clock.steps(), clock.share());
  }

  /**
   * Steps to the end.
   *
   * @throws CancelledException if the thread was interrupted; the checkpoint keeps what is done
   */
  void run(HealListener listener) throws IOException {
    Duration saved = clock.elapsed();
    Duration reported = clock.elapsed();
    long firstUnreported = clock.steps();
    while (!clock.done()) {
      step();
      Duration now = clock.elapsed();
      boolean last = clock.done();
      if (last || losses.size() == 1 || now.minus(reported).compareTo(BETWEEN_REPORTS) >= 0) {
        report(listener, firstUnreported, now.minus(reported));
        reported = now;
        firstUnreported = clock.steps();
      }
      boolean interrupted = Thread.interrupted();
      if (interrupted || last || now.minus(saved).compareTo(BETWEEN_CHECKPOINTS) >= 0) {
        save();
        saved = now;
      }
      if (interrupted) {
        throw new CancelledException("healing was cancelled");
      }
    }
  }

  private void report(HealListener listener, long firstUnreported, Duration since) {
    double tokens = (double) (clock.steps() - firstUnreported) * tokensOfStep();
    listener.onProgress(
        new HealProgress(
            clock.steps(),
            clock.share(),
            losses.mean((int) firstUnreported, losses.size()),
            tokens / (since.toNanos() * 1e-9),
            clock.left()));
  }

  private void step() {
    long begin = System.nanoTime();
    double rate =
        options.peakRate() * options.schedule().factor(clock.share(), clock.shareAfterStep());
    double loss =
        TorchScope.compute(
            () -> {
              GradientWorkers.Result result = workers.average(shares(clock.steps()));
              GradientClip.clip(result.gradients(), LARGEST_GRADIENT);
              workers.run(
                  optimizer.updates(
                      distillation.trained().named(result.gradients()),
                      clock.steps() + 1,
                      rateOf(rate)));
              distillation.student().tensors().refresh();
              return result.loss();
            });
    if (!Double.isFinite(loss)) {
      throw new IllegalStateException(
          "the loss of step %d is %s: expected a number; a lower rate than %s may help"
              .formatted(clock.steps() + 1, loss, options.peakRate()));
    }
    losses.add(loss);
    clock.step(System.nanoTime() - begin);
  }

  private ToDoubleFunction<String> rateOf(double rate) {
    return options.schedule().isRelative() ? name -> rate * sizes.of(name) : name -> rate;
  }

  private List<Supplier<GradientWorkers.Share>> shares(long step) {
    long[] batch = windows.batch(step, options.batch());
    double streamWeight = StreamLoss.weight(clock.share());
    int rows = options.batch() / shares();
    int width = batch.length / shares();
    List<Supplier<GradientWorkers.Share>> shares = new ArrayList<>();
    for (int share = 0; share < shares(); share++) {
      long[] part = Arrays.copyOfRange(batch, share * width, (share + 1) * width);
      shares.add(() -> distillation.share(part, rows, streamWeight));
    }
    return shares;
  }

  /** Writes the checkpoint. */
  void save() throws IOException {
    checkpoint.write(new HealCheckpoint.Position(clock.steps(), clock.elapsed()), losses);
  }

  private long tokensOfStep() {
    return (long) options.batch() * windows.length();
  }

  long steps() {
    return clock.steps();
  }

  long tokens() {
    return clock.steps() * tokensOfStep();
  }

  Duration elapsed() {
    return clock.elapsed();
  }

  LossHistory losses() {
    return losses;
  }

  @Override
  public void close() {
    workers.close();
    optimizer.close();
  }
}
