package io.github.mla4j.tokenizer;

import io.github.mla4j.BadFileException;
import io.github.mla4j.MlaException;
import io.github.mla4j.Status;
import io.github.mla4j.gguf.Gguf;
import io.github.mla4j.gguf.StringTable;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.OptionalLong;

/**
 * What a GGUF file says about its tokens, {@code tokenizer.ggml.*}; independent of the file once
 * read. Immutable.
 */
public final class Vocabulary {
  /** How the file's tokens came to be. */
  public enum Kind {
    /** Byte-level BPE with explicit merges, {@code gpt2}. */
    BYTE_LEVEL,
    /** SentencePiece: pieces with scores and bytes as a fallback, {@code llama}. */
    SENTENCE_PIECE
  }

  private static final int UNKNOWN = 2;
  private static final int CONTROL = 3;
  private static final int USER_DEFINED = 4;
  private static final int BYTE = 6;

  private final String source;
  private final Kind kind;
  private final Optional<String> preTokenizer;
  private final StringTable tokens;
  private final long[] types;
  private final Optional<double[]> scores;
  private final Optional<StringTable> merges;
  private final OptionalInt bos;
  private final OptionalInt eos;
  private final OptionalInt eot;
  private final OptionalInt eom;
  private final boolean addBos;
  private final boolean addEos;
  private final boolean addSpacePrefix;

  private Vocabulary(Gguf file) {
    source = file.name();
    kind = kind(file);
    preTokenizer = file.string("tokenizer.ggml.pre");
    tokens =
        file.stringTable("tokenizer.ggml.tokens")
            .orElseThrow(() -> missing("tokenizer.ggml.tokens"));
    types = file.integers("tokenizer.ggml.token_type").orElseGet(() -> new long[tokens.size()]);
    scores = file.reals("tokenizer.ggml.scores");
    merges = file.stringTable("tokenizer.ggml.merges");
    requireLength("tokenizer.ggml.token_type", types.length);
    scores.ifPresent(values -> requireLength("tokenizer.ggml.scores", values.length));
    bos = tokenId(file, "tokenizer.ggml.bos_token_id");
    eos = tokenId(file, "tokenizer.ggml.eos_token_id");
    eot = tokenId(file, "tokenizer.ggml.eot_token_id");
    eom = tokenId(file, "tokenizer.ggml.eom_token_id");
    boolean sentencePiece = kind == Kind.SENTENCE_PIECE;
    addBos =
        file.bool("tokenizer.ggml.add_bos_token")
            .orElse(sentencePiece || PreTokenizer.addsBosByDefault(preTokenizer));
    addEos = file.bool("tokenizer.ggml.add_eos_token").orElse(false);
    addSpacePrefix = file.bool("tokenizer.ggml.add_space_prefix").orElse(sentencePiece);
  }

  /**
   * Reads the file's vocabulary.
   *
   * @throws MlaException NOT_FOUND where the file has none, UNSUPPORTED where it is of a kind that
   *     is not known
   */
  public static Vocabulary read(Gguf file) {
    return new Vocabulary(file);
  }

  public Kind kind() {
    return kind;
  }

  /** How many tokens there are. */
  public int size() {
    return tokens.size();
  }

  /** The token's text as the file spells it (byte-level and SentencePiece spellings differ). */
  public String spelling(int id) {
    return tokens.get(id);
  }

  /** A token that stands for structure, not text. */
  public boolean isControl(int id) {
    return types[id] == CONTROL || types[id] == UNKNOWN;
  }

  /** A token that is found in text before anything else is. */
  public boolean isUserDefined(int id) {
    return types[id] == USER_DEFINED;
  }

  /** A token that stands for one byte, spelled {@code <0x0A>}. */
  public boolean isByte(int id) {
    return types[id] == BYTE;
  }

  /** The token before a text. */
  public OptionalInt bos() {
    return bos;
  }

  /** The token after a text. */
  public OptionalInt eos() {
    return eos;
  }

  /** The token after a turn of a chat. */
  public OptionalInt eot() {
    return eot;
  }

  /** The token after a message of a chat. */
  public OptionalInt eom() {
    return eom;
  }

  /** Whether texts begin with {@link #bos}. */
  public boolean addsBos() {
    return addBos && bos.isPresent();
  }

  /** Whether texts end with {@link #eos}. */
  public boolean addsEos() {
    return addEos && eos.isPresent();
  }

  /** Whether a space is put before a text (SentencePiece). */
  public boolean addsSpacePrefix() {
    return addSpacePrefix;
  }

  Optional<String> preTokenizer() {
    return preTokenizer;
  }

  StringTable tokens() {
    return tokens;
  }

  double[] scores() {
    return scores.orElseThrow(() -> missing("tokenizer.ggml.scores"));
  }

  StringTable merges() {
    return merges.orElseThrow(() -> missing("tokenizer.ggml.merges"));
  }

  String source() {
    return source;
  }

  private Kind kind(Gguf file) {
    String model =
        file.string("tokenizer.ggml.model")
            .orElseThrow(
                () ->
                    new MlaException(
                        Status.NOT_FOUND,
                        source
                            + ": has no vocabulary (key tokenizer.ggml.model; in a folder"
                            + " tokenizer.json or tokenizer.model): work with token ids"));
    return switch (model) {
      case "gpt2" -> Kind.BYTE_LEVEL;
      case "llama" -> Kind.SENTENCE_PIECE;
      default ->
          throw new MlaException(
              Status.UNSUPPORTED,
              source
                  + ": tokenizer.ggml.model \""
                  + model
                  + "\" is not supported; gpt2 (byte-level BPE) and llama (SentencePiece) are");
    };
  }

  private OptionalInt tokenId(Gguf file, String key) {
    OptionalLong id = file.integer(key);
    if (id.isEmpty()) {
      return OptionalInt.empty();
    }
    if (id.getAsLong() < 0 || id.getAsLong() >= tokens.size()) {
      throw new BadFileException(
          source + ": " + key + " is " + id.getAsLong() + ", beyond " + tokens.size() + " tokens");
    }
    return OptionalInt.of((int) id.getAsLong());
  }

  private void requireLength(String key, int length) {
    if (length != tokens.size()) {
      throw new BadFileException(
          source + ": " + key + " has " + length + " entries for " + tokens.size() + " tokens");
    }
  }

  private BadFileException missing(String key) {
    return new BadFileException(source + ": key " + key + " is missing");
  }
}
