package io.github.mla4j.convert.recipe;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.mla4j.CacheType;
import io.github.mla4j.Model;
import io.github.mla4j.Prefill;
import io.github.mla4j.Session;
import io.github.mla4j.convert.ConvertRequest;
import io.github.mla4j.convert.Converter;
import io.github.mla4j.convert.ProgressListener;
import io.github.mla4j.convert.RopeSelection;
import io.github.mla4j.convert.SourceLoader;
import io.github.mla4j.convert.SvdMethod;
import io.github.mla4j.convert.source.Fixtures;
import io.github.mla4j.convert.source.HuggingFaceSource;
import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.source.ModelSource;
import io.github.mla4j.gguf.Gguf;
import io.github.mla4j.gguf.TensorType;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** The engine on what the converter writes, where no answers of others exist. */
class EngineAgainstReferenceTest {
  private static final int[] TOKENS = new Random(5).ints(40, 0, 256).toArray();
  private static final double TOLERANCE = 1e-3;

  @TempDir Path folder;

  static List<String> models() {
    return Fixtures.models();
  }

  /** Every family with every method, each with another choice of pairs. */
  @ParameterizedTest
  @MethodSource("models")
  void conversions(String model) throws IOException {
    RopeSelection[] choices = {RopeSelection.UNIFORM, RopeSelection.LOW, RopeSelection.HIGH};
    try (ModelSource source = HuggingFaceSource.open(Fixtures.source(model))) {
      ModelConfig config = source.config();
      for (SvdMethod svd : SvdMethod.values()) {
        for (int ropeDims : new int[] {0, 4, config.headLength()}) {
          RopeSelection rope = choices[(svd.ordinal() + ropeDims) % choices.length];
          int rank = svd == SvdMethod.ONLY_KEY && ropeDims == config.headLength() ? 0 : 5;
          SvdMethod method = rank == 0 ? SvdMethod.NONE : svd;
          Path output = folder.resolve("out.gguf");
          Converter.convert(
              new ConvertRequest(Fixtures.source(model), output, rope, ropeDims, method, rank)
                  .withType(TensorType.F32),
              ProgressListener.none());
          KeptPairs kept =
              KeptPairs.byFrequency(rope, config.headLength(), ropeDims, 0, config.kvHeadCount());
          LatentModel expected =
              new Mha2Mla(source, new Mha2MlaSettings(rope, ropeDims, method, rank), layer -> kept);
          try (Gguf file = Gguf.open(output)) {
            compare(ReferenceDecoder.of(expected), file, rope + " " + ropeDims + " " + method);
          }
        }
      }
    }
  }

  /** A plain model under llama.cpp's keys, and the same with all rotations kept, under ours. */
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "llama   | 'rope_parameters':{'rope_type':'linear','factor':4,'rope_theta':10000}",
        "llama   | 'rope_theta':500000,'rope_scaling':{'rope_type':'llama3','factor':8,"
            + "'low_freq_factor':1,'high_freq_factor':4,'original_max_position_embeddings':64}",
        "llama   | 'rope_scaling':{'type':'yarn','factor':4,"
            + "'original_max_position_embeddings':64}",
        "llama   | 'rope_scaling':{'type':'yarn','factor':8,'beta_fast':4,'beta_slow':0.5,"
            + "'attention_factor':1.2,'original_max_position_embeddings':128}",
        "mistral | 'sliding_window':9",
      })
  void ropeScalingAndWindows(String type, String settings) throws IOException {
    Fixtures.models();
    Path model = Files.createDirectory(folder.resolve("model"));
    Path original = Fixtures.source("llama-gqa");
    Files.copy(original.resolve("model.safetensors"), model.resolve("model.safetensors"));
    String json =
        """
        {"model_type":"%s","hidden_size":64,"num_attention_heads":4,"num_key_value_heads":2,
         "num_hidden_layers":2,"intermediate_size":160,"vocab_size":256,"rms_norm_eps":1e-5,
         "max_position_embeddings":512,"tie_word_embeddings":true,%s}"""
            .formatted(type, settings.replace('\'', '"'));
    Files.writeString(model.resolve("config.json"), json);
    try (ModelSource source = HuggingFaceSource.open(model);
        ModelSource plain = HuggingFaceSource.open(original)) {
      ReferenceDecoder expected = ReferenceDecoder.of(source);
      double change = distance(expected.logits(TOKENS), ReferenceDecoder.of(plain).logits(TOKENS));
      assertTrue(change > 10 * TOLERANCE, "the setting changes something: " + change);
      try (Gguf file = SourceLoader.toGguf(model, TensorType.F32)) {
        compare(expected, file, "plain");
      }
    }
    Path output = folder.resolve("out.gguf");
    Converter.convert(
        new ConvertRequest(model, output, RopeSelection.HIGH, 16, SvdMethod.NONE, 0)
            .withType(TensorType.F32),
        ProgressListener.none());
    try (ModelSource source = HuggingFaceSource.open(model);
        Gguf file = Gguf.open(output)) {
      compare(ReferenceDecoder.of(source), file, "converted");
    }
  }

  private static void compare(ReferenceDecoder decoder, Gguf file, String where) {
    double[][] expected = decoder.logits(TOKENS);
    try (Model model = Model.load(file)) {
      for (Prefill prefill : List.of(Prefill.ABSORBED, Prefill.EXPANDED)) {
        try (Session session =
            model.newSession(
                s -> s.cache(CacheType.F32).contextLength(64).threads(1).prefill(prefill))) {
          float[][] rows = session.logitsAll(TOKENS);
          double[][] got = new double[rows.length][rows[0].length];
          for (int t = 0; t < rows.length; t++) {
            for (int i = 0; i < rows[t].length; i++) {
              got[t][i] = rows[t][i];
            }
          }
          double distance = distance(expected, got);
          assertTrue(distance < TOLERANCE, where + " " + prefill + ": off by " + distance);
        }
      }
    }
  }

  private static double distance(double[][] a, double[][] b) {
    double worst = 0;
    for (int t = 0; t < a.length; t++) {
      for (int i = 0; i < a[t].length; i++) {
        double difference = Math.abs(a[t][i] - b[t][i]);
        worst = difference <= worst ? worst : difference; // a NaN is worse than all
      }
    }
    return worst;
  }
}
