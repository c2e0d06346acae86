package io.github.mla4j.convert.train;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * A byte-level BPE vocabulary in GPT-2's form: 256 bytes, then one token per merge, then {@code
 * <|endoftext|>}. Immutable but for a cache of words seen; not thread-safe.
 */
public final class BytePairVocabulary {
  /** Stands before every document. */
  public static final String END_OF_TEXT = "<|endoftext|>";

  private static final int BYTES = 256;

  private final List<Merge> merges;
  private final String[] tokens;
  private final Map<Long, Integer> ranks = new HashMap<>();
  private final Map<String, int[]> seen = new HashMap<>();

  /** Two neighbouring tokens that become one; the ids are positions in the vocabulary. */
  public record Merge(int left, int right) {}

  /**
   * @param merges in the order in which they apply; merge {@code i} makes token {@code 256 + i}
   * @throws IllegalArgumentException when a merge names a token that is not there yet
   */
  public BytePairVocabulary(List<Merge> merges) {
    this.merges = List.copyOf(merges);
    tokens = new String[BYTES + merges.size() + 1];
    for (int b = 0; b < BYTES; b++) {
      tokens[b] = String.valueOf(ByteAlphabet.character(b));
    }
    for (int i = 0; i < merges.size(); i++) {
      Merge merge = merges.get(i);
      int made = BYTES + i;
      if (merge.left < 0 || merge.left >= made || merge.right < 0 || merge.right >= made) {
        throw new IllegalArgumentException(
            "merge %d joins tokens %d and %d, expected ids below %d"
                .formatted(i, merge.left, merge.right, made));
      }
      tokens[made] = tokens[merge.left] + tokens[merge.right];
      ranks.put(key(merge.left, merge.right), i);
    }
    tokens[tokens.length - 1] = END_OF_TEXT;
  }

  private static long key(int left, int right) {
    return (long) left << 32 | right;
  }

  /** How many tokens there are. */
  public int size() {
    return tokens.length;
  }

  /** Id of {@link #END_OF_TEXT}. */
  public int endOfText() {
    return tokens.length - 1;
  }

  /** All tokens by id, bytes written in GPT-2's alphabet. */
  public List<String> tokens() {
    return List.of(tokens);
  }

  /** The merges in order, each as GPT-2 writes it: two tokens with a space between. */
  public List<String> mergeLines() {
    return merges.stream().map(m -> tokens[m.left] + " " + tokens[m.right]).toList();
  }

  /** The ids of {@code text}; special tokens written in it are ordinary text. */
  public int[] encode(CharSequence text) {
    IntList ids = new IntList();
    PreTokenizer.split(text, piece -> ids.addAll(seen.computeIfAbsent(piece, this::encodePiece)));
    return ids.toArray();
  }

  private int[] encodePiece(String piece) {
    int[] ids = byteIds(piece);
    int length = ids.length;
    while (length > 1) {
      int best = Integer.MAX_VALUE;
      for (int i = 0; i + 1 < length; i++) {
        best = Math.min(best, ranks.getOrDefault(key(ids[i], ids[i + 1]), Integer.MAX_VALUE));
      }
      if (best == Integer.MAX_VALUE) {
        break;
      }
      Merge merge = merges.get(best);
      length = merge(ids, length, merge.left, merge.right, BYTES + best);
    }
    return Arrays.copyOf(ids, length);
  }

  static int[] byteIds(String piece) {
    byte[] bytes = piece.getBytes(StandardCharsets.UTF_8);
    int[] ids = new int[bytes.length];
    for (int i = 0; i < bytes.length; i++) {
      ids[i] = bytes[i] & 0xFF;
    }
    return ids;
  }

  /** Replaces every {@code left right} in place by {@code made}; returns the new length. */
  static int merge(int[] ids, int length, int left, int right, int made) {
    int out = 0;
    for (int in = 0; in < length; in++) {
      if (in + 1 < length && ids[in] == left && ids[in + 1] == right) {
        ids[out++] = made;
        in++;
      } else {
        ids[out++] = ids[in];
      }
    }
    return out;
  }

  /** The text of {@code ids}; broken UTF-8 becomes U+FFFD. */
  public String decode(int... ids) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    for (int id : ids) {
      if (id == endOfText()) {
        bytes.writeBytes(END_OF_TEXT.getBytes(StandardCharsets.UTF_8));
      } else {
        tokens[id].chars().forEach(c -> bytes.write(ByteAlphabet.byteOf((char) c)));
      }
    }
    return bytes.toString(StandardCharsets.UTF_8);
  }
}
