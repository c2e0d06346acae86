package io.github.mla4j.convert.vocabulary;

import java.util.List;
import java.util.Optional;

/**
 * A vocabulary in GGUF's terms.
 *
 * @param model {@code gpt2} for byte-level BPE, {@code llama} for SentencePiece
 * @param preTokenizer how text is cut before merging; of byte-level vocabularies only
 * @param tokens spellings by id
 * @param types by id, GGUF's numbers
 * @param merges pairs separated by a space, first ones first; empty for SentencePiece
 * @param scores by id; empty for byte-level vocabularies
 * @param addSpacePrefix whether a space is put before a text; of SentencePiece only
 * @param special tokens that mark structure
 */
public record ImportedVocabulary(
    String model,
    Optional<String> preTokenizer,
    List<String> tokens,
    int[] types,
    List<String> merges,
    float[] scores,
    Optional<Boolean> addSpacePrefix,
    SpecialTokens special) {

  public ImportedVocabulary {
    tokens = List.copyOf(tokens);
    merges = List.copyOf(merges);
    types = types.clone();
    scores = scores.clone();
  }

  @Override
  public int[] types() {
    return types.clone();
  }

  @Override
  public float[] scores() {
    return scores.clone();
  }
}
