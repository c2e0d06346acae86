package io.github.mla4j.convert.train;

import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Cuts text into the pieces that byte pairs are never merged across, as GPT-2 does. */
final class PreTokenizer {
  private static final Pattern PIECE =
      Pattern.compile(
          "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
          Pattern.UNICODE_CHARACTER_CLASS);

  private PreTokenizer() {}

  /** Gives the pieces in order; together they are {@code text} again. */
  static void split(CharSequence text, Consumer<String> piece) {
    Matcher matcher = PIECE.matcher(text);
    while (matcher.find()) {
      piece.accept(matcher.group());
    }
  }
}
