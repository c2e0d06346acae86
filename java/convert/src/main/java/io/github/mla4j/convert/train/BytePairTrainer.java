package io.github.mla4j.convert.train;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Learns a byte-level BPE vocabulary: joins the most frequent pair of neighbouring tokens, again
 * and again. Equally frequent pairs are joined in the order of their ids, so the same texts always
 * give the same vocabulary.
 */
public final class BytePairTrainer {
  private static final int BYTES = 256;

  private final List<Word> words;
  private final Map<BytePairVocabulary.Merge, Long> counts = new HashMap<>();

  /** A distinct piece of text, the ids that it now consists of and how often it occurs. */
  private static final class Word {
    private final int[] ids;
    private final long occurrences;
    private int length;

    private Word(String piece, long occurrences) {
      ids = BytePairVocabulary.byteIds(piece);
      length = ids.length;
      this.occurrences = occurrences;
    }

    private boolean contains(BytePairVocabulary.Merge pair) {
      for (int i = 0; i + 1 < length; i++) {
        if (ids[i] == pair.left() && ids[i + 1] == pair.right()) {
          return true;
        }
      }
      return false;
    }
  }

  private BytePairTrainer(List<? extends CharSequence> texts) {
    Map<String, Long> occurrences = new TreeMap<>();
    for (CharSequence text : texts) {
      PreTokenizer.split(text, piece -> occurrences.merge(piece, 1L, Long::sum));
    }
    words = new ArrayList<>(occurrences.size());
    occurrences.forEach((piece, count) -> words.add(new Word(piece, count)));
    words.forEach(word -> count(word, 1));
  }

  /**
   * Learns from {@code texts}.
   *
   * @param size tokens in all: 256 bytes, the merges and {@link BytePairVocabulary#END_OF_TEXT};
   *     fewer when no pair occurs twice any more
   */
  public static BytePairVocabulary train(List<? extends CharSequence> texts, int size) {
    if (size <= BYTES) {
      throw new IllegalArgumentException(
          "vocabulary of " + size + " tokens, expected at least " + (BYTES + 1));
    }
    return new BytePairVocabulary(new BytePairTrainer(texts).learn(size - BYTES - 1));
  }

  private List<BytePairVocabulary.Merge> learn(int wanted) {
    List<BytePairVocabulary.Merge> merges = new ArrayList<>(wanted);
    while (merges.size() < wanted) {
      BytePairVocabulary.Merge pair = mostFrequent();
      if (counts.getOrDefault(pair, 0L) < 2) {
        break;
      }
      int made = BYTES + merges.size();
      for (Word word : words) {
        if (word.contains(pair)) {
          count(word, -1);
          word.length =
              BytePairVocabulary.merge(word.ids, word.length, pair.left(), pair.right(), made);
          count(word, 1);
        }
      }
      merges.add(pair);
    }
    return merges;
  }

  private void count(Word word, int sign) {
    for (int i = 0; i + 1 < word.length; i++) {
      counts.merge(
          new BytePairVocabulary.Merge(word.ids[i], word.ids[i + 1]),
          sign * word.occurrences,
          (a, b) -> a + b == 0 ? null : Long.valueOf(a + b));
    }
  }

  private BytePairVocabulary.Merge mostFrequent() {
    BytePairVocabulary.Merge best = new BytePairVocabulary.Merge(0, 0);
    long most = 0;
    for (Map.Entry<BytePairVocabulary.Merge, Long> entry : counts.entrySet()) {
      BytePairVocabulary.Merge pair = entry.getKey();
      long count = entry.getValue();
      if (count > most || (count == most && before(pair, best))) {
        best = pair;
        most = count;
      }
    }
    return best;
  }

  private static boolean before(BytePairVocabulary.Merge a, BytePairVocabulary.Merge b) {
    return a.left() != b.left() ? a.left() < b.left() : a.right() < b.right();
  }
}
