package io.github.mla4j;

import io.github.mla4j.tokenizer.IncrementalDecoder;
import io.github.mla4j.tokenizer.Tokenizer;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * Tokens between the sampler and the caller. A token waits here while its last character is
 * incomplete, or while its text may be the beginning of a stop text; so every token that comes out
 * has its whole text, and no stop text ever does. Not thread-safe; allocates nothing per token but
 * the text.
 */
final class PieceQueue {
  private final Optional<Tokenizer> tokenizer;
  private final String[] stops;
  private final int longestStop;
  private final IncrementalDecoder decoder = new IncrementalDecoder();
  private final StringBuilder text = new StringBuilder(); // of the waiting tokens

  // The waiting tokens, oldest at 0: their text ends at ends[i].
  private int[] ids = new int[8];
  private float[] logProbabilities = new float[8];
  private int[] ends = new int[8];
  private int count;
  private int released; // how many of them may go

  PieceQueue(Optional<Tokenizer> tokenizer, List<String> stops) {
    this.tokenizer = tokenizer;
    this.stops = stops.toArray(String[]::new);
    this.longestStop = stops.stream().mapToInt(String::length).max().orElse(0);
  }

  /** Takes a token; says whether a stop text is complete with it, after which none may follow. */
  boolean add(int id, float logProbability) {
    if (count == ids.length) {
      ids = Arrays.copyOf(ids, count * 2);
      logProbabilities = Arrays.copyOf(logProbabilities, count * 2);
      ends = Arrays.copyOf(ends, count * 2);
    }
    int before = text.length();
    if (tokenizer.isPresent()) {
      tokenizer.get().feed(id, decoder);
    }
    decoder.takeInto(text);
    ids[count] = id;
    logProbabilities[count] = logProbability;
    ends[count] = text.length();
    count++;
    int stop = findStop(before);
    if (stop >= 0) {
      dropFrom(stop);
      return true;
    }
    release();
    return false;
  }

  /** No token follows: all that wait may go, an incomplete character as U+FFFD. */
  void finish() {
    decoder.finish();
    decoder.takeInto(text);
    if (count > 0) {
      ends[count - 1] = text.length();
    }
    released = count;
  }

  boolean hasNext() {
    return released > 0;
  }

  /** The oldest token, which must be free to go. */
  Token next() {
    int end = ends[0];
    Token token = new Token(ids[0], text.substring(0, end), logProbabilities[0]);
    text.delete(0, end);
    count--;
    released--;
    System.arraycopy(ids, 1, ids, 0, count);
    System.arraycopy(logProbabilities, 1, logProbabilities, 0, count);
    for (int i = 0; i < count; i++) {
      ends[i] = ends[i + 1] - end;
    }
    return token;
  }

  /** Where the first stop text begins, if one ends behind {@code before}; -1: nowhere. */
  private int findStop(int before) {
    int first = -1;
    for (String stop : stops) {
      int at = text.indexOf(stop, Math.max(0, before - longestStop + 1));
      if (at >= 0 && (first < 0 || at < first)) {
        first = at;
      }
    }
    return first;
  }

  /** Keeps the tokens with text before this position, cut there. */
  private void dropFrom(int position) {
    text.setLength(position);
    int kept = 0;
    while (kept < count && (kept == 0 ? 0 : ends[kept - 1]) < position) {
      ends[kept] = Math.min(ends[kept], position);
      kept++;
    }
    count = kept;
    released = kept;
  }

  private void release() {
    if (decoder.isIncomplete()) {
      return; // what was free to go has gone already or still is
    }
    int safe = text.length() - longestStopBeginning();
    while (released < count && ends[released] <= safe) {
      released++;
    }
  }

  /** Length of the longest end of the text that is the beginning of a stop text. */
  private int longestStopBeginning() {
    for (int length = Math.min(longestStop - 1, text.length()); length > 0; length--) {
      int from = text.length() - length;
      for (String stop : stops) {
        if (stop.length() > length && endsWith(stop, from, length)) {
          return length;
        }
      }
    }
    return 0;
  }

  private boolean endsWith(String stop, int from, int length) {
    for (int i = 0; i < length; i++) {
      if (text.charAt(from + i) != stop.charAt(i)) {
        return false;
      }
    }
    return true;
  }
}
