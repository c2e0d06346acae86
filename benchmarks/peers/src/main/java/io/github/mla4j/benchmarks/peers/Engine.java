package io.github.mla4j.benchmarks.peers;

/** What a Java peer does for {@link PeerMain}: one model, one cache. */
public interface Engine {
  /** Its name and version. */
  String name();

  /** How it was built: instruction sets and the like, in its own words. */
  String build();

  /** Evaluates the step's tokens; nanoseconds. */
  long run(Step step);
}
