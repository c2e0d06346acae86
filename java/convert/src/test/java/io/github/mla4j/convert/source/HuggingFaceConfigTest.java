package io.github.mla4j.convert.source;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.mla4j.BadFileException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class HuggingFaceConfigTest {
  private static final String SIZES =
      "'hidden_size':64,'num_attention_heads':4,'num_hidden_layers':2,'intermediate_size':160,"
          + "'vocab_size':256,'max_position_embeddings':512";

  @TempDir Path folder;

  @Test
  void readsSizesAndTheirDefaults() throws IOException {
    ModelConfig config = parse("'model_type':'llama'");
    assertEquals(ModelFamily.LLAMA, config.family());
    assertEquals(4, config.kvHeadCount(), "as many as query heads");
    assertEquals(16, config.headLength(), "embedding divided by heads");
    assertEquals(1e-6, config.rmsEpsilon());
    assertEquals(10_000, config.rope().base());
    assertEquals(128, parse("'model_type':'qwen3'").headLength(), "the family's default");
    assertEquals(8, parse("'model_type':'qwen2','head_dim':8").headLength());
  }

  @Test
  void readsOldAndNewRopeSettings() throws IOException {
    RopeScaling.Llama3 llama3 = new RopeScaling.Llama3(8, 1, 4, 8192);
    String settings =
        "'factor':8,'low_freq_factor':1,'high_freq_factor':4,"
            + "'original_max_position_embeddings':8192";
    RopeFrequencies old =
        parse(
                "'model_type':'llama','rope_theta':5e5,'rope_scaling':{'rope_type':'llama3',%s}"
                    .formatted(settings))
            .rope();
    RopeFrequencies current =
        parse(
                "'model_type':'llama','rope_parameters':{'rope_theta':5e5,'rope_type':'llama3',%s}"
                    .formatted(settings))
            .rope();
    assertEquals(llama3, old.scaling());
    assertEquals(llama3, current.scaling());
    assertEquals(5e5, old.base());
    assertEquals(5e5, current.base());
    assertEquals(
        new RopeScaling.Linear(2),
        parse("'model_type':'llama','rope_scaling':{'type':'linear','factor':2.0}")
            .rope()
            .scaling());
    assertInstanceOf(
        RopeScaling.None.class,
        parse("'model_type':'llama','rope_theta':1e6,'rope_scaling':null").rope().scaling());
  }

  @Test
  void readsYarn() throws IOException {
    String yarn = "'model_type':'qwen2','rope_scaling':{'type':'yarn','factor':4.0%s}";
    assertEquals(
        new RopeScaling.Yarn(4, 512, 32, 1, 1 + 0.1 * Math.log(4), true),
        parse(yarn.formatted("")).rope().scaling());
    assertEquals(
        new RopeScaling.Yarn(4, 128, 16, 2, 1.5, false),
        parse(
                yarn.formatted(
                    ",'original_max_position_embeddings':128,'beta_fast':16,'beta_slow':2,"
                        + "'attention_factor':1.5,'truncate':false"))
            .rope()
            .scaling());
    double ratio = (1 + 0.1 * 2 * Math.log(4)) / (1 + 0.1 * 0.5 * Math.log(4));
    assertEquals(
        ratio,
        parse(yarn.formatted(",'mscale':2,'mscale_all_dim':0.5")).rope().attentionFactor(),
        1e-12);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "'model_type':'llama','sliding_window':8                                  | -1",
        "'model_type':'mistral','sliding_window':8                                | 8",
        "'model_type':'mistral','sliding_window':null                             | -1",
        "'model_type':'mistral','sliding_window':512                              | -1",
        "'model_type':'qwen2','sliding_window':8                                  | -1",
        "'model_type':'qwen2','sliding_window':8,'use_sliding_window':true        | -1",
        "'model_type':'qwen2','sliding_window':8,'use_sliding_window':true,"
            + "'max_window_layers':0                                              | 8",
        "'model_type':'qwen2','sliding_window':8,'use_sliding_window':true,"
            + "'layer_types':['sliding_attention','sliding_attention']            | 8",
      })
  void readsTheSlidingWindowWhereItIsUsed(String settings, int window) throws IOException {
    assertEquals(
        window < 0 ? OptionalInt.empty() : OptionalInt.of(window), parse(settings).slidingWindow());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "'x':1                                             | model_type is missing",
        "'model_type':'gpt2'                               | expected llama, mistral",
        "'model_type':'llama','hidden_act':'gelu'          | hidden_act",
        "'model_type':'llama','mlp_bias':true              | mlp_bias",
        "'model_type':'llama','hidden_size':'a'            | hidden_size is",
        "'model_type':'llama','hidden_size':66             | multiple of num_attention_heads",
        "'model_type':'llama','head_dim':7                 | even",
        "'model_type':'llama','num_key_value_heads':3      | divisor",
        "'model_type':'llama','num_hidden_layers':0        | at least 1",
        "'model_type':'llama','vocab_size':1.5             | whole number",
        "'model_type':'llama','rope_theta':-1              | above 0",
        "'model_type':'llama','partial_rotary_factor':0.5  | partial_rotary_factor",
        "'model_type':'llama','rope_scaling':3             | an object",
        "'model_type':'llama','rope_scaling':{'rope_type':'longrope'} | default, linear, llama3",
        "'model_type':'llama','rope_scaling':{'type':'linear'}        | factor is missing",
        "'model_type':'qwen2','sliding_window':8,'use_sliding_window':true,"
            + "'max_window_layers':1                       | 1 of 2 layers",
      })
  void refusesWhatItCannotRun(String settings, String words) {
    String message = assertThrows(BadFileException.class, () -> parse(settings)).getMessage();
    assertTrue(message.contains(words), message);
    assertTrue(message.contains("config.json"), message);
  }

  @Test
  void aFolderNeedsAConfig() {
    String message =
        assertThrows(BadFileException.class, () -> HuggingFaceConfig.open(folder)).getMessage();
    assertTrue(message.contains("not a Hugging Face directory"), message);
  }

  /** Keys given here come after the sizes and replace them. */
  private ModelConfig parse(String settings) throws IOException {
    String json = "{" + SIZES + "," + settings + "}";
    Files.writeString(folder.resolve("config.json"), json.replace('\'', '"'));
    return HuggingFaceConfig.parse(HuggingFaceConfig.open(folder));
  }
}
