package io.github.mla4j.convert.train;

import java.time.Duration;
import java.util.Locale;

/**
 * Where a run stands.
 *
 * @param step steps done
 * @param steps steps in all
 * @param loss mean over the steps since the last report, nats per token
 * @param heldOutLoss over the held-out passage, nats per token
 * @param tokensPerSecond trained since the last report
 * @param left estimated from the speed of the whole run so far
 */
public record TrainingProgress(
    long step, long steps, double loss, double heldOutLoss, double tokensPerSecond, Duration left) {

  /** Perplexity per token over the held-out passage. */
  public double heldOutPerplexity() {
    return Math.exp(heldOutLoss);
  }

  /** One line for a terminal or a log. */
  @Override
  public String toString() {
    return String.format(
        Locale.ROOT,
        "step %d/%d  loss %.3f  held-out %.3f (perplexity %.1f)  %.0f tokens/s  %d:%02d left",
        step,
        steps,
        loss,
        heldOutLoss,
        heldOutPerplexity(),
        tokensPerSecond,
        left.toMinutes(),
        left.toSecondsPart());
  }
}
