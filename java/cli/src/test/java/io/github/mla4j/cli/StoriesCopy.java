package io.github.mla4j.cli;

import io.github.mla4j.gguf.Gguf;
import io.github.mla4j.gguf.GgufKey;
import io.github.mla4j.gguf.GgufTensor;
import io.github.mla4j.gguf.GgufWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/** The small real model with something about it changed, as a file. */
final class StoriesCopy {
  private static final String TOKENS = "tokenizer.ggml.tokens";

  private StoriesCopy() {}

  /** Two tokens have changed their ids, so texts with them are other numbers. */
  static Path withTokensSwapped(Path file, String one, String other) {
    try (Gguf stories = Gguf.open(Cli.stories());
        GgufWriter writer = GgufWriter.create(file)) {
      List<String> tokens = new ArrayList<>(stories.strings(TOKENS).orElseThrow());
      Collections.swap(tokens, tokens.indexOf(one), tokens.indexOf(other));
      for (GgufKey key : stories.keys()) {
        if (!key.name().equals(TOKENS)) {
          writer.copyKey(stories, key.name());
        }
      }
      writer.set(TOKENS, tokens);
      copyTensors(stories, writer, "");
      writer.finish();
      return file;
    }
  }

  /** No logit is a number. */
  static Path withoutNumbers(Path file) {
    try (Gguf stories = Gguf.open(Cli.stories());
        GgufWriter writer = GgufWriter.create(file)) {
      stories.keys().forEach(key -> writer.copyKey(stories, key.name()));
      copyTensors(stories, writer, "output_norm.weight");
      writer.finish();
      return file;
    }
  }

  private static void copyTensors(Gguf from, GgufWriter writer, String spoilt) {
    for (GgufTensor tensor : from.tensors()) {
      float[] elements = from.readFloats(tensor.name());
      if (tensor.name().equals(spoilt)) {
        Arrays.fill(elements, Float.NaN);
      }
      long[] dims = tensor.dims().stream().mapToLong(dim -> dim).toArray();
      writer.tensor(tensor.name(), tensor.type(), elements, dims);
    }
  }
}
