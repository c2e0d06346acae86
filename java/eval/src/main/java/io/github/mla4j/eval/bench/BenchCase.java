package io.github.mla4j.eval.bench;

/**
 * What one row of a benchmark measures, a test of llama-bench: a prompt at once, or tokens one at a
 * time, after so many others.
 *
 * @param prompt tokens that come at once; 0 where they come singly
 * @param gen tokens that come one at a time, each waiting for its logits; 0 of a prompt
 * @param depth tokens in the cache beforehand
 * @param batch sequences that go on together
 */
public record BenchCase(int prompt, int gen, int depth, int batch) {

  public BenchCase {
    if (prompt < 0 || gen < 0 || (prompt == 0) == (gen == 0) || depth < 0 || batch < 1) {
      throw new IllegalArgumentException(
          "a test of %d and %d tokens at depth %d, batch %d".formatted(prompt, gen, depth, batch));
    }
  }

  public boolean isPrompt() {
    return prompt > 0;
  }

  /** Of each sequence, without the depth. */
  public int tokens() {
    return prompt + gen;
  }

  /**
   * Tokens that came before the first one that is timed: the depth, but sequences that go on
   * together begin with one.
   */
  int first() {
    return batch > 1 ? Math.max(1, depth) : depth;
  }

  /** Tokens that a sequence has afterwards. */
  public int context() {
    return first() + tokens();
  }

  /** As llama-bench calls it: {@code pp512}, {@code tg64 @ d4096}. */
  public String label() {
    return (isPrompt() ? "pp" + prompt : "tg" + gen) + (depth == 0 ? "" : " @ d" + depth);
  }
}
