package io.github.mla4j.tokenizer;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import io.github.mla4j.gguf.StringTable;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashSet;
import java.util.Set;

/**
 * A vocabulary as the {@code tokenizer.json} of Hugging Face's tokenizers: the model and, for
 * byte-level vocabularies, the pre-tokenizer. Special tokens and the space prefix are not in it:
 * {@link Tokenizer} sees to them, since they depend on the call.
 */
final class TokenizerJson {
  /** The library skips a merge that is one string and begins so. */
  private static final String COMMENT = "#version";

  private final JsonGenerator json;
  private final Vocabulary vocabulary;
  private final Set<String> tokens = new HashSet<>();

  /** Whether no token needs a merge that is a pair, for which the library takes longer. */
  private boolean mergesAsStrings = true;

  private TokenizerJson(JsonGenerator json, Vocabulary vocabulary) {
    this.json = json;
    this.vocabulary = vocabulary;
  }

  /** Trusts the file's merges: the library refuses a vocabulary with one of or into no token. */
  static byte[] of(Vocabulary vocabulary) {
    return write(vocabulary, false);
  }

  /** Without the merges for which the library would refuse it; takes three times as long. */
  static byte[] checked(Vocabulary vocabulary) {
    return write(vocabulary, true);
  }

  private static byte[] write(Vocabulary vocabulary, boolean checked) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream(4 << 20);
    try (JsonGenerator json = new JsonFactory().createGenerator(bytes)) {
      new TokenizerJson(json, vocabulary).write(checked);
    } catch (IOException e) {
      throw new UncheckedIOException(e); // memory does not fail
    }
    return bytes.toByteArray();
  }

  private void write(boolean checked) throws IOException {
    json.writeStartObject();
    json.writeStringField("version", "1.0");
    for (String absent :
        new String[] {"truncation", "padding", "normalizer", "post_processor", "decoder"}) {
      json.writeNullField(absent);
    }
    json.writeArrayFieldStart("added_tokens");
    json.writeEndArray();
    if (vocabulary.kind() == Vocabulary.Kind.BYTE_LEVEL) {
      byteLevel(checked);
    } else {
      sentencePiece();
    }
    json.writeEndObject();
  }

  private void byteLevel(boolean checked) throws IOException {
    PreTokenizer pre = PreTokenizer.of(vocabulary);
    json.writeObjectFieldStart("pre_tokenizer");
    json.writeStringField("type", "Sequence");
    json.writeArrayFieldStart("pretokenizers");
    for (String pattern : pre.patterns()) {
      json.writeStartObject();
      json.writeStringField("type", "Split");
      json.writeObjectFieldStart("pattern");
      json.writeStringField("Regex", pattern);
      json.writeEndObject();
      json.writeStringField("behavior", "Isolated");
      json.writeBooleanField("invert", false);
      json.writeEndObject();
    }
    json.writeStartObject();
    json.writeStringField("type", "ByteLevel");
    json.writeBooleanField("add_prefix_space", false);
    json.writeBooleanField("trim_offsets", false);
    json.writeBooleanField("use_regex", false);
    json.writeEndObject();
    json.writeEndArray();
    json.writeEndObject();

    beginModel();
    json.writeBooleanField("byte_fallback", false);
    json.writeBooleanField("ignore_merges", pre.takesWholeWords());
    json.writeArrayFieldStart("merges");
    StringTable merges = vocabulary.merges();
    for (int i = 0; i < merges.size(); i++) {
      if (mergesAsStrings && !checked) {
        byte[] merge = merges.bytes(i);
        json.writeUTF8String(merge, 0, merge.length);
      } else {
        String merge = merges.get(i);
        int space = merge.indexOf(' ', 1);
        if (space > 0) {
          writeMerge(merge.substring(0, space), merge.substring(space + 1));
        }
      }
    }
    json.writeEndArray();
    json.writeEndObject();
  }

  /**
   * SentencePiece joins the pair whose joined piece has the highest score, the leftmost of equals.
   * As BPE: every way to cut a piece into two pieces is a merge, ranked by the piece's score.
   */
  private void sentencePiece() throws IOException {
    json.writeNullField("pre_tokenizer");
    beginModel();
    json.writeBooleanField("byte_fallback", true);
    json.writeBooleanField("ignore_merges", false);
    json.writeArrayFieldStart("merges");
    double[] scores = vocabulary.scores();
    Integer[] byScore = new Integer[scores.length];
    Arrays.setAll(byScore, i -> i);
    Arrays.sort(byScore, Comparator.comparingDouble(i -> -scores[i]));
    for (int id : byScore) {
      String piece = vocabulary.spelling(id);
      for (int cut = 1; cut < piece.length(); cut++) {
        if (!Character.isLowSurrogate(piece.charAt(cut))) {
          writeMerge(piece.substring(0, cut), piece.substring(cut));
        }
      }
    }
    json.writeEndArray();
    json.writeEndObject();
  }

  private void beginModel() throws IOException {
    json.writeObjectFieldStart("model");
    json.writeStringField("type", "BPE");
    for (String absent :
        new String[] {"dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"}) {
      json.writeNullField(absent);
    }
    json.writeBooleanField("fuse_unk", false);
    json.writeObjectFieldStart("vocab");
    for (int id = 0; id < vocabulary.size(); id++) {
      String token = vocabulary.spelling(id);
      tokens.add(token);
      mergesAsStrings &= token.indexOf(' ') < 0 && !token.startsWith(COMMENT);
      json.writeNumberField(token, id); // of tokens that are spelled alike the last one counts
    }
    json.writeEndObject();
  }

  private void writeMerge(String left, String right) throws IOException {
    if (!tokens.contains(left) || !tokens.contains(right) || !tokens.contains(left + right)) {
      return;
    }
    if (mergesAsStrings) {
      json.writeString(left + " " + right);
    } else {
      json.writeStartArray();
      json.writeString(left);
      json.writeString(right);
      json.writeEndArray();
    }
  }
}
