package io.github.mla4j.convert.vocabulary;

import com.fasterxml.jackson.databind.JsonNode;
import io.github.mla4j.BadFileException;
import java.util.ArrayList;
import java.util.List;

/** Recognizes a byte-level tokenizer's way of cutting text by the patterns that it lists. */
final class PreTokenizerName {
  private static final String WORDS_BEFORE_DIGITS =
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|";
  private static final String REST_AFTER_DIGITS =
      "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

  private PreTokenizerName() {}

  /**
   * llama.cpp's name of the pre-tokenizer.
   *
   * @param node {@code pre_tokenizer} of a tokenizer.json
   */
  static String of(String file, JsonNode node) {
    List<JsonNode> steps = new ArrayList<>();
    if (node.path("type").asText().equals("Sequence")) {
      node.path("pretokenizers").forEach(steps::add);
    } else {
      steps.add(node);
    }
    boolean digitsAlone = false;
    boolean cutsWords = false;
    String pattern = "";
    for (JsonNode step : steps) {
      switch (step.path("type").asText()) {
        case "Digits" -> digitsAlone = step.path("individual_digits").asBoolean();
        case "ByteLevel" -> cutsWords = step.path("use_regex").asBoolean(true);
        case "Split" -> pattern = step.path("pattern").path("Regex").asText();
        default -> throw unknown(file, step.toString());
      }
    }
    if (pattern.isEmpty() && cutsWords) {
      return digitsAlone ? "smollm" : "gpt-2";
    }
    if (!cutsWords && pattern.equals(WORDS_BEFORE_DIGITS + "\\p{N}{1,3}" + REST_AFTER_DIGITS)) {
      return "llama-bpe";
    }
    if (!cutsWords && pattern.equals(WORDS_BEFORE_DIGITS + "\\p{N}" + REST_AFTER_DIGITS)) {
      return "qwen2";
    }
    throw unknown(file, pattern.isEmpty() ? node.toString() : pattern);
  }

  private static BadFileException unknown(String file, String what) {
    return new BadFileException(
        "%s: pre_tokenizer %s is not known: expected that of GPT-2, SmolLM, Llama 3 or Qwen 2"
            .formatted(file, what));
  }
}
