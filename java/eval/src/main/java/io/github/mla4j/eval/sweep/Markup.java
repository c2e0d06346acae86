package io.github.mla4j.eval.sweep;

import java.util.Locale;

/** Text inside HTML and SVG. */
final class Markup {
  private Markup() {}

  /** Text as it is to be read, in elements and in attributes in double quotes. */
  static String text(String text) {
    StringBuilder escaped = new StringBuilder(text.length());
    text.codePoints()
        .forEach(
            c -> {
              switch (c) {
                case '&' -> escaped.append("&amp;");
                case '<' -> escaped.append("&lt;");
                case '>' -> escaped.append("&gt;");
                case '"' -> escaped.append("&quot;");
                case '\'' -> escaped.append("&#39;");
                // Control characters are allowed in no document.
                default ->
                    escaped.appendCodePoint(c < ' ' && c != '\n' && c != '\t' ? '\uFFFD' : c);
              }
            });
    return escaped.toString();
  }

  /** As {@link String#format}, with the strings among the values escaped. */
  static String format(String format, Object... values) {
    Object[] escaped = values.clone();
    for (int i = 0; i < escaped.length; i++) {
      if (escaped[i] instanceof String text) {
        escaped[i] = text(text);
      }
    }
    return String.format(Locale.ROOT, format, escaped);
  }
}
