package io.github.mla4j.convert.heal;

import io.github.mla4j.BadFileException;
import io.github.mla4j.Model;
import io.github.mla4j.convert.source.DecoderTensors;
import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.source.StoredTensor;
import io.github.mla4j.convert.source.TensorLookup;
import io.github.mla4j.convert.source.WeightTensor;
import io.github.mla4j.gguf.Gguf;
import io.github.mla4j.gguf.GgufTensor;
import io.github.mla4j.tokenizer.Tokenizer;
import io.github.mla4j.tokenizer.Vocabulary;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;

/** A converted model's file, opened and found whole. */
final class ConvertedFile implements TensorLookup, AutoCloseable {
  private static final String PREFIX = "mha2mla.";

  private final Gguf file;

  private ConvertedFile(Gguf file) {
    this.file = file;
  }

  /**
   * @throws io.github.mla4j.MlaException if the file is damaged
   * @throws IllegalArgumentException if its model is not converted
   */
  static ConvertedFile open(Path path) throws IOException {
    if (!Files.exists(path)) {
      throw new NoSuchFileException(path.toString());
    }
    // The engine knows the form: what it loads has every tensor in the shape it should have.
    try (Model model = Model.load(path)) {
      if (!model.info().converted()) {
        throw new IllegalArgumentException(
            "%s: is a plain %s model: expected one that 'mla convert' has written"
                .formatted(path, model.info().architecture()));
      }
    }
    return new ConvertedFile(Gguf.open(path));
  }

  @Override
  public String name() {
    return file.name();
  }

  Gguf file() {
    return file;
  }

  /** All tensors in the file's order. */
  List<WeightTensor> tensors() {
    return file.tensors().stream().map(tensor -> (WeightTensor) stored(tensor)).toList();
  }

  @Override
  public Optional<WeightTensor> find(String name) {
    return file.tensor(name).map(this::stored);
  }

  private StoredTensor stored(GgufTensor tensor) {
    return new StoredTensor(file, tensor);
  }

  /**
   * Checks that this can be what became of {@code teacher}.
   *
   * @throws IllegalArgumentException naming the first thing in which they differ
   */
  void checkAgainst(Teacher teacher) {
    ModelConfig config = teacher.config();
    String family = file.string(PREFIX + "base_architecture").orElse("llama");
    if (!family.equals(config.family().architecture())) {
      throw differs(teacher, "is of family " + family, config.family().architecture());
    }
    same(teacher, "block_count", config.blockCount());
    same(teacher, "embedding_length", config.embeddingLength());
    same(teacher, "feed_forward_length", config.feedForwardLength());
    same(teacher, "attention.head_count", config.headCount());
    same(teacher, "attention.head_count_kv", config.kvHeadCount());
    same(teacher, "attention.key_length", config.headLength());
    same(teacher, "attention.value_length", config.headLength());
    int rows = tensor(DecoderTensors.EMBEDDING).rows();
    if (rows != config.vocabularySize()) {
      throw differs(
          teacher, "has %,d tokens".formatted(rows), "%,d".formatted(config.vocabularySize()));
    }
    checkVocabulary(teacher);
  }

  private void same(Teacher teacher, String suffix, int expected) {
    OptionalLong value = file.integer(PREFIX + suffix);
    if (value.isPresent() && value.getAsLong() != expected) {
      throw differs(
          teacher,
          "has " + PREFIX + suffix + " = " + value.getAsLong(),
          Integer.toString(expected));
    }
  }

  private void checkVocabulary(Teacher teacher) {
    try (Gguf keys = teacher.keys()) {
      Optional<List<String>> theirs = keys.strings("tokenizer.ggml.tokens");
      Optional<List<String>> ours = file.strings("tokenizer.ggml.tokens");
      if (theirs.isEmpty() || ours.isEmpty()) {
        return; // a folder without a tokenizer
      }
      for (int id = 0; id < Math.min(ours.get().size(), theirs.get().size()); id++) {
        String token = theirs.get().get(id);
        if (!token.equals(ours.get().get(id))) {
          throw differs(
              teacher, "has the token '%s' as %d".formatted(ours.get().get(id), id), token);
        }
      }
    }
  }

  private IllegalArgumentException differs(Teacher teacher, String what, String theirs) {
    return new IllegalArgumentException(
        "%s %s, the teacher %s has %s: expected the model that it was converted from"
            .formatted(name(), what, teacher.source().name(), theirs));
  }

  /** The ids of a text as the file's own tokenizer sees it. */
  Tokenizer tokenizer() {
    return new Tokenizer(Vocabulary.read(file));
  }

  /** Sizes of all layers' attention. */
  List<AttentionForm> forms(ModelConfig config) {
    long[] groups = integers("attention.rope_group_counts");
    long[] dims = integers("rope.dimension_counts");
    double[] frequencies = file.reals(PREFIX + "rope.frequencies").orElseGet(() -> new double[0]);
    boolean normsAfter = file.bool(PREFIX + "attention.norm_after_rope").orElse(false);
    AttentionForm[] forms = new AttentionForm[config.blockCount()];
    int next = 0;
    for (int layer = 0; layer < forms.length; layer++) {
      int ropeDims = (int) dims[layer];
      int ropeGroups = ropeDims == 0 ? 0 : (int) groups[layer];
      int count = ropeGroups * ropeDims / 2;
      forms[layer] =
          AttentionForm.converted(
              config,
              ropeGroups,
              ropeDims,
              tensor(DecoderTensors.inLayer(layer, "attn_q.weight")).rows(),
              Arrays.copyOfRange(frequencies, next, next + count),
              find(DecoderTensors.inLayer(layer, "attn_k_in.weight")).isPresent(),
              normsAfter);
      next += count;
    }
    return List.of(forms);
  }

  private long[] integers(String suffix) {
    return file.integers(PREFIX + suffix)
        .orElseThrow(
            () -> new BadFileException(name() + ": key '" + PREFIX + suffix + "' is missing"));
  }

  @Override
  public void close() {
    file.close();
  }
}
