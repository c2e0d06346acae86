package io.github.mla4j.convert;

/** Told of a conversion's progress, on the converting thread, at least once a layer. */
@FunctionalInterface
public interface ProgressListener {
  /** Called often; should return quickly. */
  void progress(Progress progress);

  /** A listener that does nothing. */
  static ProgressListener none() {
    return progress -> {};
  }
}
