package io.github.mla4j.convert.heal;

import static org.bytedeco.pytorch.global.torch.linear;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.github.mla4j.convert.Converter;
import io.github.mla4j.convert.ProgressListener;
import io.github.mla4j.convert.SourceLoader;
import io.github.mla4j.convert.source.Fixtures;
import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.torch.TensorValues;
import io.github.mla4j.convert.torch.TorchScope;
import io.github.mla4j.gguf.Gguf;
import io.github.mla4j.gguf.TensorType;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import org.bytedeco.pytorch.AbstractTensor;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Every form of attention, against the engine. */
class DecoderTest {
  private static final int[] TOKENS = {5, 17, 250, 3, 99, 128, 1, 77, 77, 20, 41, 6};
  private static final double TOLERANCE = 1e-3;

  @TempDir Path folder;

  static List<String> models() {
    return Fixtures.models();
  }

  static List<Fixtures.Case> cases() {
    return Fixtures.cases();
  }

  @ParameterizedTest
  @MethodSource("models")
  void teacher(String model) throws IOException {
    try (Gguf file = SourceLoader.toGguf(Fixtures.source(model), TensorType.F32);
        Teacher teacher = Teacher.open(Fixtures.source(model))) {
      ModelConfig config = teacher.config();
      ModelTensors tensors = ModelTensors.of(teacher.source(), config, ConvertedModels.PLACE);
      List<AttentionForm> forms =
          Collections.nCopies(config.blockCount(), AttentionForm.plain(config));
      compare(ConvertedModels.engineLogits(file, TOKENS), tensors, config, forms);
    }
  }

  @ParameterizedTest
  @MethodSource("cases")
  void everyFormOfThePaper(Fixtures.Case test) throws IOException {
    Path output = folder.resolve("paper.gguf");
    Converter.repack(
        test.converted(),
        output,
        Optional.of(TensorType.F32),
        Optional.empty(),
        ProgressListener.none());
    student(test.source(), output);
  }

  @ParameterizedTest
  @CsvSource({"llama-gqa, 0.6", "llama-mha, 0.3", "qwen2-bias, 0.5", "qwen3-qknorm, 0.5"})
  void calibrated(String model, double reduction) throws IOException {
    Path source = Fixtures.source(model);
    student(source, ConvertedModels.calibrated(source, folder, reduction, TensorType.F32));
  }

  @Test
  void aModelOfRotatedLayersIsReadFromItsQuantizedFile() throws IOException {
    Path source = Fixtures.shared("models/stories260K.gguf");
    student(source, ConvertedModels.calibrated(source, folder, 0.5, TensorType.Q8_0));
  }

  static void student(Path source, Path converted) throws IOException {
    try (Teacher teacher = Teacher.open(source);
        ConvertedFile file = ConvertedFile.open(converted)) {
      file.checkAgainst(teacher);
      ModelConfig config = teacher.config();
      ModelTensors tensors =
          ModelTensors.of(file, config, ConvertedModels.PLACE, Trained.ATTENTION::includes);
      compare(ConvertedModels.engineLogits(converted, TOKENS), tensors, config, file.forms(config));
    }
  }

  /** Two sequences at once, one of them reversed, so that none sees the other. */
  private static void compare(
      float[][] expected, ModelTensors tensors, ModelConfig config, List<AttentionForm> forms) {
    try (DecoderModel model =
        new DecoderModel(
            tensors, config, forms, LatentQuantizer.NONE, TOKENS.length, ConvertedModels.PLACE)) {
      TorchScope.runWithoutGradients(
          () -> {
            long[] ids = new long[2 * TOKENS.length];
            for (int t = 0; t < TOKENS.length; t++) {
              ids[t] = TOKENS[TOKENS.length - 1 - t];
              ids[TOKENS.length + t] = TOKENS[t];
            }
            Tensor rows = AbstractTensor.create(ids, 2, TOKENS.length);
            Tensor state = model.decoder().lastState(rows, stream -> {});
            check(expected, linear(state, model.decoder().head()));
            try (WindowPass pass = new WindowPass(model.decoder(), rows)) {
              check(expected, linear(pass.state(), model.decoder().head()));
            }
          });
    }
  }

  private static void check(float[][] expected, Tensor logits) {
    float[] found = TensorValues.floats(logits);
    int width = expected[0].length;
    assertEquals(2 * expected.length * width, found.length);
    for (int t = 0; t < expected.length; t++) {
      int begin = (expected.length + t) * width;
      assertArrayEquals(
          expected[t], Arrays.copyOfRange(found, begin, begin + width), (float) TOLERANCE);
    }
  }
}
