package io.github.mla4j.convert.train;

import java.util.List;

/**
 * A text cut into a passage that training never sees and the rest.
 *
 * @param training what stands before and after the passage, as two documents
 * @param passage whole paragraphs from one place
 */
record HeldOutText(List<String> training, String passage) {
  private static final String PARAGRAPH = "\n\n";

  HeldOutText {
    training = List.copyOf(training);
  }

  /**
   * Cuts out the paragraphs that begin after {@code share} of the text.
   *
   * @param share where the passage begins, 0 (start) to below 1 (end)
   * @param characters least length of the passage
   */
  static HeldOutText cut(String text, double share, int characters) {
    int start = paragraphAfter(text, (int) (share * text.length()));
    int end = paragraphAfter(text, start + characters);
    if (start == text.length() || end == text.length()) {
      throw new IllegalArgumentException(
          "text of %d characters, expected more than %d after %.0f %% of it"
              .formatted(text.length(), characters, 100 * share));
    }
    return new HeldOutText(
        List.of(text.substring(0, start).strip(), text.substring(end).strip()),
        text.substring(start, end).strip());
  }

  private static int paragraphAfter(String text, int from) {
    int at = text.indexOf(PARAGRAPH, Math.min(from, text.length()));
    return at < 0 ? text.length() : at + PARAGRAPH.length();
  }
}
