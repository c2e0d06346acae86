package io.github.mla4j.convert.heal;

import static org.bytedeco.pytorch.global.torch.cross_entropy_loss;
import static org.bytedeco.pytorch.global.torch.linear;
import static org.bytedeco.pytorch.global.torch.manual_seed;
import static org.bytedeco.pytorch.global.torch.randn_like;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.github.mla4j.convert.Converter;
import io.github.mla4j.convert.ProgressListener;
import io.github.mla4j.convert.source.Fixtures;
import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.torch.TorchScope;
import io.github.mla4j.gguf.TensorType;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.bytedeco.pytorch.AbstractTensor;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The gradient by every tensor against differences of the loss. */
class WindowPassTest {
  private static final long[] TOKENS = {5, 17, 250, 3, 99, 128, 1, 77, 77, 20, 41, 6, 7, 8};
  private static final long[] NEXT = {17, 250, 3, 99, 128, 1, 77, 77, 20, 41, 6, 7, 8, 200};
  private static final double STEP = 1e-2;

  @TempDir Path folder;

  static List<Fixtures.Case> cases() {
    return Fixtures.cases();
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
    check(test.source(), output);
  }

  @ParameterizedTest
  @ValueSource(strings = {"llama-gqa", "qwen2-bias", "qwen3-qknorm"})
  void calibrated(String model) throws IOException {
    Path source = Fixtures.source(model);
    check(source, ConvertedModels.calibrated(source, folder, 0.6, TensorType.F32));
  }

  private static void check(Path source, Path converted) throws IOException {
    try (Teacher teacher = Teacher.open(source);
        ConvertedFile file = ConvertedFile.open(converted)) {
      ModelConfig config = teacher.config();
      ModelTensors tensors =
          ModelTensors.of(file, config, ConvertedModels.PLACE, Trained.ALL::includes);
      try (DecoderModel model =
          new DecoderModel(
              tensors,
              config,
              file.forms(config),
              LatentQuantizer.NONE,
              TOKENS.length,
              ConvertedModels.PLACE)) {
        TorchScope.runWithoutGradients(() -> check(model));
      }
    }
  }

  private static void check(DecoderModel model) {
    manual_seed(5);
    Tensor ids = AbstractTensor.create(TOKENS, 2, TOKENS.length / 2);
    Tensor next = AbstractTensor.create(NEXT, NEXT.length);
    ModelTensors tensors = model.tensors();
    NextTokenLoss loss =
        new NextTokenLoss(
            model.decoder().head(), tensors.headName(), Optional.empty(), HealLoss.CE);
    List<String> names = List.copyOf(tensors.trained().all().keySet());
    try (Gradients gradients = new Gradients(names);
        WindowPass pass = new WindowPass(model.decoder(), ids)) {
      Tensor state = pass.state();
      pass.backward(loss.of(state, state, next, gradients).byState(), Optional.empty(), gradients);
      List<Tensor> found = gradients.release();
      for (int i = 0; i < names.size(); i++) {
        Tensor weight = tensors.trained().all().get(names.get(i));
        Tensor gradient = found.get(i);
        assertArrayEquals(weight.shape(), gradient.shape(), names.get(i));
        // Along the gradient the loss changes most; along chance, errors off that way are seen.
        Tensor direction = unit(gradient).add_(unit(randn_like(gradient)));
        double expected = gradient.mul(direction).sum().item_double();
        // A steep loss is curved too: it must not change by more than a little.
        double step = Math.min(STEP, 0.02 / Math.abs(expected));
        double up = lossAt(model, ids, next, weight, direction, step);
        double down = lossAt(model, ids, next, weight, direction, -step);
        double measured = (up - down) / (2 * step);
        assertEquals(expected, measured, 0.02 * Math.abs(expected) + 5e-4, names.get(i));
      }
    }
  }

  private static Tensor unit(Tensor x) {
    double length = x.norm().item_double();
    return length == 0 ? x.clone() : x.div(new Scalar(length));
  }

  private static double lossAt(
      DecoderModel model, Tensor ids, Tensor next, Tensor weight, Tensor direction, double step) {
    weight.add_(direction, new Scalar(step));
    try {
      Tensor logits = linear(model.decoder().lastState(ids, stream -> {}), model.decoder().head());
      return cross_entropy_loss(logits.to(ScalarType.Double), next).item_double();
    } finally {
      weight.sub_(direction, new Scalar(step));
    }
  }
}
