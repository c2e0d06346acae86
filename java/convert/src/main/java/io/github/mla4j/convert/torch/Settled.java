package io.github.mla4j.convert.torch;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;

/**
 * What parts that ran at the same time came to. Native memory has no owner but its scope: who
 * leaves a scope while a part still reads from it crashes the process. So all are waited for,
 * whether one failed or the waiting thread was interrupted.
 *
 * @param done what the parts gave that did not fail, in their order
 * @param interrupted whether the waiting thread was; it no longer is marked so
 * @param failure of the first part that failed
 */
public record Settled<T>(List<T> done, boolean interrupted, Optional<Throwable> failure) {

  /**
   * Waits for all.
   *
   * @param trouble called when one has failed, and at an interrupt: parts that have not begun may
   *     then be told not to
   */
  public static <T> Settled<T> of(List<Future<T>> pending, Runnable trouble) {
    List<T> done = new ArrayList<>();
    boolean interrupted = false;
    Optional<Throwable> failure = Optional.empty();
    for (int i = 0; i < pending.size(); ) {
      try {
        done.add(pending.get(i).get());
        i++;
      } catch (InterruptedException e) {
        interrupted = true;
        trouble.run();
      } catch (ExecutionException e) {
        failure = failure.or(() -> Optional.of(e.getCause()));
        trouble.run();
        i++;
      }
    }
    return new Settled<>(done, interrupted, failure);
  }

  /**
   * Fails if a part did.
   *
   * @param what failed, such as "calibration failed"
   * @throws IllegalStateException of the first failure, which is its cause
   */
  public void throwFailure(String what) {
    if (failure.isPresent()) {
      throw new IllegalStateException(what + ": " + failure.get().getMessage(), failure.get());
    }
  }
}
