package io.github.mla4j.convert.heal;

import java.time.Duration;

/**
 * Where a run stands.
 *
 * @param step steps done, those before an interruption included
 * @param fraction of the run, 0 to 1
 * @param loss mean over the steps since the last report, nats a token
 * @param tokensPerSecond trained since the last report
 * @param left estimated
 */
public record HealProgress(
    long step, double fraction, double loss, double tokensPerSecond, Duration left) {}
