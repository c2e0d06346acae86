package io.github.mla4j.convert.train;

/** Undoes the hard line breaks of plain-text books, which say nothing about the language. */
final class WrappedText {
  private WrappedText() {}

  /**
   * Joins a line with the next one where the break can only come from the page's width: where the
   * next line's first word would not have fitted any more. Verses and headings stay as they are.
   *
   * @param columns width that the text was set to, in characters
   */
  static String unwrap(String text, int columns) {
    StringBuilder out = new StringBuilder(text.length());
    int previous = 0; // length of the line before, as it was in the text
    for (String line : text.replace("\r\n", "\n").split("\n", -1)) {
      if (previous > 0 && !line.isEmpty() && previous + 1 + firstWord(line) > columns) {
        out.setCharAt(out.length() - 1, ' ');
      }
      out.append(line).append('\n');
      previous = line.length();
    }
    out.setLength(out.length() - 1);
    return out.toString();
  }

  private static int firstWord(String line) {
    int space = line.indexOf(' ');
    return space < 0 ? line.length() : space;
  }
}
