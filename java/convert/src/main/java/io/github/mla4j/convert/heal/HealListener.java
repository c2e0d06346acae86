package io.github.mla4j.convert.heal;

/** Hears of a run, on the thread that runs it. */
public interface HealListener {
  /**
   * A run goes on where it was interrupted.
   *
   * @param step steps that were done
   * @param fraction of the run that was done
   */
  default void onResume(long step, double fraction) {}

  /** After the first step, and every few seconds. */
  void onProgress(HealProgress progress);

  /** A listener that does nothing. */
  static HealListener none() {
    return progress -> {};
  }
}
