package io.github.mla4j.tokenizer;

import io.github.mla4j.MlaException;
import io.github.mla4j.Status;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;

/**
 * How byte-level vocabularies cut text into words before merging, by the file's {@code
 * tokenizer.ggml.pre}. The patterns are facts of the models' own tokenizers; several are applied
 * one after the other, each to the pieces that the one before left.
 */
enum PreTokenizer {
  GPT_2(false, List.of("gpt-2", "gpt2"), Patterns.GPT_2),
  /** Digits stand alone. */
  SMOLLM(
      false,
      List.of("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"),
      "\\p{N}",
      Patterns.GPT_2),
  /** Digits in groups of three; a word that is a token is taken whole. */
  LLAMA_3(
      true, List.of("llama-bpe", "llama3", "llama-v3"), Patterns.contractionsThen("\\p{N}{1,3}")),
  QWEN_2(false, List.of("qwen2", "deepseek-r1-qwen"), Patterns.contractionsThen("\\p{N}")),
  /** For files that name none. */
  DEFAULT(
      false,
      List.of("default"),
      "[\\p{P}\\$\\+<=>\\^~\\|]+",
      Patterns.GPT_2,
      "\\p{N}+",
      "[0-9][0-9][0-9]");

  /** The pieces that the patterns are put together from. */
  private static final class Patterns {
    static final String GPT_2 =
        "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)";

    static String contractionsThen(String digits) {
      return "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
          + "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
          + digits
          + "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    }
  }

  private final boolean wholeWords;
  private final List<String> names;
  private final List<String> patterns;

  PreTokenizer(boolean wholeWords, List<String> names, String... patterns) {
    this.wholeWords = wholeWords;
    this.names = names;
    this.patterns = List.of(patterns);
  }

  /** Whether a word that is a token is taken as it is, without merging. */
  boolean takesWholeWords() {
    return wholeWords;
  }

  List<String> patterns() {
    return patterns;
  }

  static PreTokenizer of(Vocabulary vocabulary) {
    String name = vocabulary.preTokenizer().orElse("default");
    return find(name)
        .orElseThrow(
            () ->
                new MlaException(
                    Status.UNSUPPORTED,
                    vocabulary.source()
                        + ": tokenizer.ggml.pre \""
                        + name
                        + "\" is not supported; these are: "
                        + supported()));
  }

  /** What holds where a file does not say whether texts begin with BOS. */
  static boolean addsBosByDefault(Optional<String> name) {
    return name.flatMap(PreTokenizer::find).filter(pre -> pre == LLAMA_3).isPresent();
  }

  private static Optional<PreTokenizer> find(String name) {
    return Arrays.stream(values()).filter(pre -> pre.names.contains(name)).findFirst();
  }

  private static String supported() {
    return Arrays.stream(values())
        .flatMap(pre -> pre.names.stream())
        .collect(Collectors.joining(", "));
  }
}
