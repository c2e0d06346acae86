package io.github.mla4j.eval;

import io.github.mla4j.tokenizer.Tokenizer;
import java.util.Arrays;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * A text's tokens in consecutive windows. Each is predicted from an empty cache; every position of
 * a window after its first is predicted and counted. A rest too short to predict anything is left
 * out. Immutable.
 */
public final class TextWindows {
  private final int[] start;
  private final int[] ids;
  private final int text; // tokens of the text in a window
  private final int count;

  /**
   * Windows of tokens.
   *
   * @param bos what every window begins with, for models that are used to it; empty for others
   * @param ids the text's tokens, without that
   * @param window tokens a window, at least 2
   */
  public TextWindows(OptionalInt bos, int[] ids, int window) {
    this(bos.stream().toArray(), ids, window);
  }

  private TextWindows(int[] start, int[] ids, int window) {
    if (window < 2) {
      throw new IllegalArgumentException("a window is " + window + ", expected at least 2 tokens");
    }
    this.start = start;
    this.ids = ids;
    text = window - start.length;
    int whole = ids.length / text;
    count = start.length + ids.length % text >= 2 ? whole + 1 : whole;
  }

  /** Windows of a text as a model's tokenizer cuts it, beginning with BOS where it asks for it. */
  public static TextWindows of(Tokenizer tokenizer, String text, int window) {
    return new TextWindows(
        TextTokens.start(tokenizer), tokenizer.encode(text, false, false), window);
  }

  /** How many windows there are. */
  public int count() {
    return count;
  }

  /** All tokens of a window, what it begins with included; its first is not predicted. */
  public int[] window(int index) {
    int first = index * text;
    int last = Math.min(first + text, ids.length);
    int[] window = Arrays.copyOf(start, start.length + last - first);
    System.arraycopy(ids, first, window, start.length, last - first);
    return window;
  }

  /** How many tokens are predicted, over all windows. */
  public int predictions() {
    int tokens = Math.min(ids.length, count * text);
    return tokens - count * (1 - start.length);
  }

  /** The first windows, as many as there are up to {@code most}. */
  public TextWindows first(int most) {
    if (most >= count) {
      return this;
    }
    return new TextWindows(start, Arrays.copyOf(ids, most * text), text + start.length);
  }

  /** What another model's windows of the same text have otherwise, in words; empty for nothing. */
  public Optional<String> difference(TextWindows other) {
    if (!Arrays.equals(start, other.start)) {
      return Optional.of(
          "windows begin with %s, not with %s".formatted(name(start), name(other.start)));
    }
    int at = Arrays.mismatch(ids, other.ids);
    if (at < 0) {
      return Optional.empty();
    }
    if (at == ids.length || at == other.ids.length) {
      return Optional.of("the text is %d tokens, not %d".formatted(ids.length, other.ids.length));
    }
    return Optional.of(
        "token %d of the text is %d, not %d".formatted(at + 1, ids[at], other.ids[at]));
  }

  private static String name(int[] start) {
    return start.length == 0 ? "the text itself" : "token " + start[0];
  }

  /** For measures, which have no answer where there is nothing to predict. */
  TextWindows requireSome() {
    if (count == 0) {
      throw new IllegalArgumentException(
          "the text has %d tokens, expected enough to predict one".formatted(ids.length));
    }
    return this;
  }
}
