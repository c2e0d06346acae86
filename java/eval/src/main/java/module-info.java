/** Measuring models: perplexity, speed, what the cache costs. */
module io.github.mla4j.eval {
  requires transitive io.github.mla4j.core;

  exports io.github.mla4j.eval;
}
