package io.github.mla4j.convert.train;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.github.mla4j.convert.torch.LlamaModule;
import io.github.mla4j.convert.torch.LlamaShape;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;

/**
 * Writes a trained model twice, as Hugging Face lays one out (float32) and as a GGUF file (Q8_0),
 * and the texts that belong to it.
 */
final class ModelFolder {
  private static final ObjectMapper JSON = new ObjectMapper();

  private ModelFolder() {}

  /** Writes every file under another name first, so that none is ever seen half written. */
  static void write(Path folder, LlamaModule model, TrainingCorpus corpus, ModelCard card)
      throws IOException {
    BytePairVocabulary vocabulary = corpus.vocabulary();
    atomically(folder.resolve("config.json"), f -> writeJson(f, config(model.shape(), vocabulary)));
    atomically(folder.resolve("tokenizer.json"), f -> writeJson(f, tokenizer(vocabulary)));
    atomically(
        folder.resolve("model.safetensors"),
        f -> SafetensorsWriter.write(f, model.parameters().all()));
    LlamaGguf.write(folder.resolve("model.gguf"), model, vocabulary, card);
    atomically(folder.resolve("passage.txt"), f -> Files.writeString(f, corpus.passage() + "\n"));
    atomically(
        folder.resolve("calibration.txt"), f -> Files.writeString(f, corpus.calibration() + "\n"));
  }

  @FunctionalInterface
  private interface FileWriter {
    void write(Path file) throws IOException;
  }

  private static void atomically(Path file, FileWriter writer) throws IOException {
    Path fresh = file.resolveSibling(file.getFileName() + ".tmp");
    writer.write(fresh);
    Files.move(fresh, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
  }

  private static void writeJson(Path file, JsonNode json) throws IOException {
    JSON.writerWithDefaultPrettyPrinter().writeValue(file.toFile(), json);
  }

  private static ObjectNode config(LlamaShape shape, BytePairVocabulary vocabulary) {
    ObjectNode config = JSON.createObjectNode();
    config.putArray("architectures").add("LlamaForCausalLM");
    return config
        .put("model_type", "llama")
        .put("vocab_size", shape.vocabulary())
        .put("hidden_size", shape.hidden())
        .put("num_hidden_layers", shape.layers())
        .put("num_attention_heads", shape.heads())
        .put("num_key_value_heads", shape.kvHeads())
        .put("head_dim", shape.headDim())
        .put("intermediate_size", shape.feedForward())
        .put("max_position_embeddings", shape.context())
        .put("rope_theta", shape.ropeTheta())
        .put("rms_norm_eps", shape.normEpsilon())
        .put("hidden_act", "silu")
        .put("attention_bias", false)
        .put("mlp_bias", false)
        .put("tie_word_embeddings", true)
        .put("bos_token_id", vocabulary.endOfText())
        .put("eos_token_id", vocabulary.endOfText())
        .put("torch_dtype", "float32");
  }

  private static ObjectNode tokenizer(BytePairVocabulary vocabulary) {
    ObjectNode root = JSON.createObjectNode().put("version", "1.0");
    root.putNull("truncation");
    root.putNull("padding");
    ObjectNode added = root.putArray("added_tokens").addObject();
    added.put("id", vocabulary.endOfText()).put("content", BytePairVocabulary.END_OF_TEXT);
    added.put("single_word", false).put("lstrip", false).put("rstrip", false);
    added.put("normalized", false).put("special", true);
    root.putNull("normalizer");
    byteLevel(root.putObject("pre_tokenizer"));
    byteLevel(root.putObject("post_processor"));
    byteLevel(root.putObject("decoder"));
    ObjectNode model = root.putObject("model").put("type", "BPE");
    model.putNull("dropout").putNull("unk_token");
    model.putNull("continuing_subword_prefix").putNull("end_of_word_suffix");
    model.put("fuse_unk", false).put("byte_fallback", false);
    ObjectNode ids = model.putObject("vocab");
    for (int id = 0; id < vocabulary.size(); id++) {
      ids.put(vocabulary.tokens().get(id), id);
    }
    ArrayNode merges = model.putArray("merges");
    vocabulary.mergeLines().forEach(merges::add);
    return root;
  }

  private static void byteLevel(ObjectNode node) {
    node.put("type", "ByteLevel").put("add_prefix_space", false);
    node.put("trim_offsets", true).put("use_regex", true);
  }
}
