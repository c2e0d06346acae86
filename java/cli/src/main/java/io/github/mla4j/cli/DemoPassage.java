package io.github.mla4j.cli;

import io.github.mla4j.CacheType;
import io.github.mla4j.Model;
import io.github.mla4j.Session;
import io.github.mla4j.eval.Perplexity;
import io.github.mla4j.eval.Throughput;
import io.github.mla4j.tokenizer.Tokenizer;
import java.io.IOException;
import java.util.Arrays;
import java.util.OptionalInt;

/** The bundled passage as a model's tokens. */
final class DemoPassage {
  private static final int WINDOW = 512;
  private static final int PROMPT = 128;
  private static final int DECODED = 96;

  private final OptionalInt bos;
  private final int[] ids;

  private DemoPassage(OptionalInt bos, int[] ids) {
    this.bos = bos;
    this.ids = ids;
  }

  /** What was measured of a model with one cache type. */
  record Measured(Perplexity perplexity, Throughput throughput) {}

  /** The passage's beginning, as long as the budget allows. */
  static DemoPassage of(Model model, DemoBudget budget) throws IOException {
    Tokenizer tokenizer = model.tokenizer();
    int[] all = tokenizer.encode(DemoFolder.passage(), false, false);
    return new DemoPassage(
        tokenizer.vocabulary().addsBos() ? tokenizer.bos() : OptionalInt.empty(),
        Arrays.copyOf(all, Math.min(all.length, budget.passageTokens())));
  }

  int length() {
    return ids.length;
  }

  Measured measure(Model model, CacheType cache) {
    int window = Math.min(WINDOW, model.info().contextLength());
    try (Session session = model.newSession(options -> options.cache(cache))) {
      Perplexity perplexity = Perplexity.measure(session, bos, ids, window);
      int tokens = Math.min(Math.min(PROMPT + DECODED, window), ids.length);
      int prompt = Math.min(PROMPT, tokens / 2);
      return new Measured(
          perplexity, Throughput.measure(session, Arrays.copyOf(ids, tokens), prompt));
    }
  }
}
