package io.github.mla4j;

import java.nio.file.Path;

/** The README's Java example; {@link QuickstartTest} runs it and compares it with the README. */
final class Quickstart {
  private Quickstart() {}

  static void tell(Path file) {
    // README: begin
    try (Model model = Model.load(file);
        Session session = model.newSession(s -> s.cache(CacheType.INT8).contextLength(512))) {
      for (Token token : session.generate("Once upon a time", g -> g.maxTokens(40))) {
        System.out.print(token.text());
      }
    }
    // README: end
  }
}
