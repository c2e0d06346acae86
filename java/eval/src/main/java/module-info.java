/** Measuring models: perplexity, divergence from a teacher, tasks, speed. */
module io.github.mla4j.eval {
  requires transitive io.github.mla4j.core;

  exports io.github.mla4j.eval;
}
