package io.github.mla4j.convert.vocabulary;

import io.github.mla4j.BadFileException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;

/** Tokens being collected: spelling, type and score by id. */
final class TokenTable {
  private final String file;
  private final String[] spellings;
  private final int[] types;
  private final float[] scores;
  private final Map<String, Integer> ids = new HashMap<>();

  /**
   * @param size rows of the model's embedding
   */
  TokenTable(String file, int size) {
    this.file = file;
    this.spellings = new String[size];
    this.types = new int[size];
    this.scores = new float[size];
    Arrays.fill(types, TokenType.UNUSED.id());
  }

  /** Sets a token; a later one of the same id replaces it. */
  void put(long id, String spelling, TokenType type) {
    if (id < 0 || id >= spellings.length) {
      throw new BadFileException(
          "%s: token '%s' has id %d: the model's vocabulary has %d"
              .formatted(file, spelling, id, spellings.length));
    }
    spellings[(int) id] = spelling;
    types[(int) id] = type.id();
    ids.put(spelling, (int) id);
  }

  void score(int id, float score) {
    scores[id] = score;
  }

  int size() {
    return spellings.length;
  }

  OptionalInt find(String spelling) {
    Integer id = ids.get(spelling);
    return id == null ? OptionalInt.empty() : OptionalInt.of(id);
  }

  /** All spellings; ids without a token get one that no text has. */
  List<String> spellings() {
    List<String> all = new ArrayList<>(spellings.length);
    for (int id = 0; id < spellings.length; id++) {
      all.add(spellings[id] == null ? "[PAD" + id + "]" : spellings[id]);
    }
    return all;
  }

  int[] types() {
    return types.clone();
  }

  float[] scores() {
    return scores.clone();
  }
}
