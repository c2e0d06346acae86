package io.github.mla4j.tokenizer;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * Finds special tokens in text. As in llama.cpp, the longest token is looked for first, in the
 * whole text, so a longer one wins over a shorter one even where it begins later.
 */
final class SpecialTokens {
  /** A stretch of text ({@code id} &lt; 0), or a special token. */
  record Part(String text, int id) {
    boolean isText() {
      return id < 0;
    }
  }

  private record Special(String text, int id, boolean control) {}

  private final List<Special> longestFirst = new ArrayList<>();

  SpecialTokens(Vocabulary vocabulary) {
    for (int id = 0; id < vocabulary.size(); id++) {
      boolean control = vocabulary.isControl(id);
      if (control || vocabulary.isUserDefined(id)) {
        String text = vocabulary.spelling(id);
        if (!text.isEmpty()) {
          longestFirst.add(new Special(text, id, control));
        }
      }
    }
    longestFirst.sort(Comparator.comparingInt((Special s) -> -s.text().length()));
  }

  /**
   * Cuts a text at special tokens.
   *
   * @param control whether control tokens are found too; otherwise they are plain text
   */
  List<Part> cut(String text, boolean control) {
    List<Part> parts = List.of(new Part(text, -1));
    for (Special special : longestFirst) {
      if ((control || !special.control()) && text.contains(special.text())) {
        parts = cut(parts, special);
      }
    }
    return parts;
  }

  private static List<Part> cut(List<Part> parts, Special special) {
    List<Part> cut = new ArrayList<>();
    for (Part part : parts) {
      if (!part.isText()) {
        cut.add(part);
        continue;
      }
      String text = part.text();
      int from = 0;
      for (int at; (at = text.indexOf(special.text(), from)) >= 0; ) {
        addText(cut, text.substring(from, at));
        cut.add(new Part(special.text(), special.id()));
        from = at + special.text().length();
      }
      addText(cut, text.substring(from));
    }
    return cut;
  }

  private static void addText(List<Part> parts, String text) {
    if (!text.isEmpty()) {
      parts.add(new Part(text, -1));
    }
  }
}
