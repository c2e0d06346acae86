package io.github.mla4j.convert.heal;

import io.github.mla4j.convert.source.ModelConfig;
import io.github.mla4j.convert.torch.GradientWorkers;
import io.github.mla4j.convert.torch.Parameters;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import org.bytedeco.pytorch.AbstractTensor;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** Student and teacher in memory, and the gradients of what the student learns of a text. */
final class Distillation implements AutoCloseable {
  private final Optional<DecoderModel> teacher;
  private final DecoderModel student;
  private final NextTokenLoss loss;
  private final TorchPlace place;

  private Distillation(
      Optional<DecoderModel> teacher, DecoderModel student, HealLoss loss, TorchPlace place) {
    this.teacher = teacher;
    this.student = student;
    this.place = place;
    this.loss =
        new NextTokenLoss(
            student.decoder().head(),
            student.tensors().headName(),
            teacher.map(model -> model.decoder().head()),
            loss);
  }

  /**
   * Reads both models' tensors; the files may be closed afterwards.
   *
   * @param positions of the longest sequence
   */
  static Distillation open(
      ConvertedFile converted,
      Teacher source,
      HealRequest.Options options,
      int positions,
      TorchPlace place) {
    ModelConfig config = source.config();
    LatentQuantizer quantizer = LatentQuantizer.of(options.cache());
    List<AttentionForm> forms = converted.forms(config);
    if (!options.loss().asksTeacher()) {
      ModelTensors tensors = ModelTensors.of(converted, config, place, options.trained()::includes);
      return new Distillation(
          Optional.empty(),
          new DecoderModel(tensors, config, forms, quantizer, positions, place),
          options.loss(),
          place);
    }
    ModelTensors taught = ModelTensors.of(source.source(), config, place);
    ModelTensors tensors =
        ModelTensors.of(
            converted, config, place, options.trained()::includes, source.source(), taught);
    List<AttentionForm> plain =
        Collections.nCopies(config.blockCount(), AttentionForm.plain(config));
    return new Distillation(
        Optional.of(
            new DecoderModel(taught, config, plain, LatentQuantizer.NONE, positions, place)),
        new DecoderModel(tensors, config, forms, quantizer, positions, place),
        options.loss(),
        place);
  }

  DecoderModel student() {
    return student;
  }

  /** What is trained, in float32. */
  Parameters trained() {
    return student.tensors().trained();
  }

  /**
   * Loss and gradients of a few sequences.
   *
   * @param tokens [batch, T + 1], row by row: the last of a row is only a target
   * @param streamWeight of {@link StreamLoss}
   */
  GradientWorkers.Share share(long[] tokens, int batch, double streamWeight) {
    Tensor rows =
        place.place(AbstractTensor.create(tokens, batch, tokens.length / batch), ScalarType.Long);
    long length = rows.size(1) - 1;
    Tensor ids = rows.narrow(1, 0, length);
    Tensor next = rows.narrow(1, 1, length).reshape(-1);
    try (Gradients gradients = new Gradients(trained().all().keySet());
        WindowPass pass = new WindowPass(student.decoder(), ids);
        StreamLoss streams = new StreamLoss(streamWeight, batch)) {
      Tensor state = pass.state();
      Tensor wanted =
          teacher.map(model -> model.decoder().lastState(ids, streams::teach)).orElse(state);
      NextTokenLoss.Result result = loss.of(state, wanted, next, gradients);
      pass.backward(result.byState(), teacher.map(model -> streams), gradients);
      return new GradientWorkers.Share(result.loss(), gradients.release());
    }
  }

  @Override
  public void close() {
    student.close();
    teacher.ifPresent(DecoderModel::close);
  }
}
