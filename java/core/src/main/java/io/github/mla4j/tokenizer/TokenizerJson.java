package io.github.mla4j.tokenizer;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import io.github.mla4j.gguf.StringTable;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.Map;

/**
 * A vocabulary as the {@code tokenizer.json} of Hugging Face's tokenizers: the model and, for
 * byte-level vocabularies, the pre-tokenizer. Special tokens and the space prefix are not in it:
 * {@link Tokenizer} sees to them, since they depend on the call.
 */
final class TokenizerJson {
  private TokenizerJson() {}

  static byte[] of(Vocabulary vocabulary) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream(4 << 20);
    try (JsonGenerator json = new JsonFactory().createGenerator(bytes)) {
      json.writeStartObject();
      json.writeStringField("version", "1.0");
      for (String absent :
          new String[] {"truncation", "padding", "normalizer", "post_processor", "decoder"}) {
        json.writeNullField(absent);
      }
      json.writeArrayFieldStart("added_tokens");
      json.writeEndArray();
      if (vocabulary.kind() == Vocabulary.Kind.BYTE_LEVEL) {
        byteLevel(json, vocabulary);
      } else {
        sentencePiece(json, vocabulary);
      }
      json.writeEndObject();
    } catch (IOException e) {
      throw new UncheckedIOException(e); // memory does not fail
    }
    return bytes.toByteArray();
  }

  private static void byteLevel(JsonGenerator json, Vocabulary vocabulary) throws IOException {
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

    Map<String, Integer> ids = beginModel(json, vocabulary);
    json.writeBooleanField("byte_fallback", false);
    json.writeBooleanField("ignore_merges", pre.takesWholeWords());
    json.writeArrayFieldStart("merges");
    StringTable merges = vocabulary.merges();
    for (int i = 0; i < merges.size(); i++) {
      String merge = merges.get(i);
      int space = merge.indexOf(' ', 1);
      if (space > 0) {
        writeMerge(json, ids, merge.substring(0, space), merge.substring(space + 1));
      }
    }
    json.writeEndArray();
    json.writeEndObject();
  }

  /**
   * SentencePiece joins the pair whose joined piece has the highest score, the leftmost of equals.
   * As BPE: every way to cut a piece into two pieces is a merge, ranked by the piece's score.
   */
  private static void sentencePiece(JsonGenerator json, Vocabulary vocabulary) throws IOException {
    json.writeNullField("pre_tokenizer");
    Map<String, Integer> ids = beginModel(json, vocabulary);
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
          writeMerge(json, ids, piece.substring(0, cut), piece.substring(cut));
        }
      }
    }
    json.writeEndArray();
    json.writeEndObject();
  }

  private static Map<String, Integer> beginModel(JsonGenerator json, Vocabulary vocabulary)
      throws IOException {
    Map<String, Integer> ids = new HashMap<>(vocabulary.size() * 2);
    for (int id = 0; id < vocabulary.size(); id++) {
      ids.put(vocabulary.spelling(id), id);
    }
    json.writeObjectFieldStart("model");
    json.writeStringField("type", "BPE");
    for (String absent :
        new String[] {"dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"}) {
      json.writeNullField(absent);
    }
    json.writeBooleanField("fuse_unk", false);
    json.writeObjectFieldStart("vocab");
    for (Map.Entry<String, Integer> token : ids.entrySet()) {
      json.writeNumberField(token.getKey(), token.getValue());
    }
    json.writeEndObject();
    return ids;
  }

  /** Leaves out merges of or into what is not a token: the library refuses the whole file. */
  private static void writeMerge(
      JsonGenerator json, Map<String, Integer> ids, String left, String right) throws IOException {
    if (ids.containsKey(left) && ids.containsKey(right) && ids.containsKey(left + right)) {
      json.writeStartArray();
      json.writeString(left);
      json.writeString(right);
      json.writeEndArray();
    }
  }
}
