package io.github.mla4j;

import java.util.List;

/**
 * Where time went, from {@link Session#setProfiling} or {@link Batch#setProfiling} on.
 *
 * @param threads that computed
 * @param tokens that were appended
 * @param steps that they took: single tokens, of one session or of several, chunks of prompts
 * @param seconds of appending and sampling, by the clock
 * @param operations in the order of a step, all of them
 */
public record Profile(
    int threads, long tokens, long steps, double seconds, List<OperationProfile> operations) {

  public Profile {
    operations = List.copyOf(operations);
  }

  /** That threads waited for one another, the mean of the threads. */
  public double waitingSeconds() {
    return operations.stream().mapToDouble(OperationProfile::waitingSeconds).sum();
  }

  /** Of no operation: waking the threads, planning the steps, waiting for other sessions. */
  public double otherSeconds() {
    double told = operations.stream().mapToDouble(OperationProfile::seconds).sum();
    return Math.max(0, seconds - told - waitingSeconds());
  }
}
