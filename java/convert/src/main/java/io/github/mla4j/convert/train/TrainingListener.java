package io.github.mla4j.convert.train;

/** Hears of a run's progress, on the thread that trains. */
public interface TrainingListener {
  /** After every look at the held-out passage. */
  void onProgress(TrainingProgress progress);

  /** After every checkpoint, a piece of text that the model just wrote. */
  default void onSample(String text) {}
}
