/**
 * Measuring models: perplexity, divergence from a teacher, tasks, speed, and sweeps over cache
 * types.
 */
module io.github.mla4j.eval {
  requires com.fasterxml.jackson.databind;
  requires transitive io.github.mla4j.core;

  exports io.github.mla4j.eval;
  exports io.github.mla4j.eval.bench;
  exports io.github.mla4j.eval.sweep;

  opens io.github.mla4j.eval.sweep to
      com.fasterxml.jackson.databind;
}
