package io.github.mla4j.convert.heal;

import io.github.mla4j.CancelledException;
import io.github.mla4j.convert.output.OutputFile;
import io.github.mla4j.convert.output.Sha256;
import io.github.mla4j.convert.train.TokenWindows;
import io.github.mla4j.tokenizer.Tokenizer;
import java.io.IOException;
import java.nio.channels.ClosedByInterruptException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;

/**
 * Heals converted models: trains them to say what their source says. A checkpoint beside the output
 * keeps what is done, every two minutes, and is removed at the end; the output appears, complete,
 * at the end: a failure, an interrupt of the thread or the end of the process leaves the old file,
 * or none. PyTorch's number of threads belongs to the whole process, so heal one model at a time.
 */
public final class Healer {
  private final HealRequest request;
  private final HealListener listener;

  private Healer(HealRequest request, HealListener listener) {
    this.request = request;
    this.listener = listener;
  }

  /**
   * Heals a model.
   *
   * @throws IllegalArgumentException if the converted model cannot have been made from the teacher,
   *     or a value does not fit them; the message names the value and what is possible
   * @throws io.github.mla4j.MlaException if a model's file is damaged or of another kind
   * @throws FileAlreadyExistsException if a run was begun and is not to be resumed
   * @throws CancelledException if the thread was interrupted; the run can be resumed
   * @throws IOException if a file cannot be read or written
   */
  public static HealReport heal(HealRequest request, HealListener listener) throws IOException {
    try {
      return new Healer(request, listener).heal();
    } catch (ClosedByInterruptException e) {
      // Java closes a channel that is used when the thread is interrupted, and leaves it marked.
      Thread.interrupted();
      throw new CancelledException("healing was cancelled");
    }
  }

  /** Where a run that writes {@code output} keeps what is done. */
  public static Path checkpointOf(Path output) {
    return output.resolveSibling(output.getFileName() + ".checkpoint");
  }

  /** Where a run that writes {@code output} draws its loss. */
  public static Path plotOf(Path output) {
    String name = output.getFileName().toString();
    String stem = name.endsWith(".gguf") ? name.substring(0, name.length() - 5) : name;
    return output.resolveSibling(stem + ".loss.png");
  }

  private HealReport heal() throws IOException {
    OutputFile.check(request.output(), request.converted());
    OutputFile.check(request.output(), request.teacher());
    Path checkpoint = checkpointOf(request.output());
    boolean begun = Files.exists(checkpoint);
    if (begun && !request.resume()) {
      throw new FileAlreadyExistsException(
          checkpoint.toString(),
          null,
          "a run was begun and not finished: resume it (--resume), or delete this file to begin"
              + " anew");
    }
    for (Path text : request.data()) {
      if (!Files.exists(text)) {
        throw new NoSuchFileException(text.toString());
      }
    }
    try (ConvertedFile converted = ConvertedFile.open(request.converted());
        Teacher teacher = Teacher.open(request.teacher())) {
      return heal(converted, teacher, checkpoint, begun);
    }
  }

  private HealReport heal(ConvertedFile converted, Teacher teacher, Path checkpoint, boolean begun)
      throws IOException {
    converted.checkAgainst(teacher);
    HealRequest.Options options = request.options();
    int longest = teacher.config().contextLength();
    int windowTokens = options.windowTokensWithin(longest);
    if (windowTokens > longest) {
      throw new IllegalArgumentException(
          "windows of %,d tokens: the model's context has %,d".formatted(windowTokens, longest));
    }
    TorchPlace place = TorchPlace.of(options.device(), options.precision());
    HealData data = read(converted);
    TokenWindows windows = data.windows(windowTokens, options.seed());
    String teacherHash = Sha256.of(teacher.source().weightFiles());
    try (Distillation distillation =
            Distillation.open(converted, teacher, options, windowTokens, place);
        HealRun run =
            new HealRun(
                request.length(),
                options,
                distillation,
                windows,
                place,
                checkpoint,
                settings(teacherHash, data.sha256(), windowTokens))) {
      if (begun) {
        run.resume(listener);
      }
      run.run(listener);
      HealedFile file = new HealedFile(converted, distillation.trained(), options.type());
      write(
          file,
          new HealedFile.Provenance(
              teacherHash, data.sha256(), run.steps(), run.tokens(), run.losses().last(), options));
      LossPlot.write(
          plotOf(request.output()),
          run.losses(),
          request.output().getFileName().toString(),
          options.loss().title() + ", nats a token");
      Files.deleteIfExists(checkpoint);
      return new HealReport(
          request.output(),
          Files.size(request.output()),
          plotOf(request.output()),
          run.steps(),
          run.tokens(),
          run.elapsed(),
          run.losses().first(),
          run.losses().last(),
          file.types().notes());
    }
  }

  private HealData read(ConvertedFile converted) throws IOException {
    try (Tokenizer tokenizer = converted.tokenizer()) {
      return HealData.read(request.data(), tokenizer);
    }
  }

  private void write(HealedFile healed, HealedFile.Provenance provenance) throws IOException {
    try (OutputFile file = OutputFile.create(request.output(), request.converted())) {
      healed.write(file.writer(), provenance);
      file.writer().finish();
    }
  }

  /** What must stay the same for a run to be resumed. */
  private String settings(String teacherHash, String dataHash, int windowTokens)
      throws IOException {
    HealRequest.Options options = request.options();
    boolean relative = options.schedule().isRelative();
    return String.join(
        "\n",
        "converted file: " + Sha256.of(List.of(request.converted())),
        "teacher: " + teacherHash,
        "data: " + dataHash,
        "trained: " + Labels.of(options.trained()),
        "loss: " + options.loss().label(),
        // A checkpoint of an earlier version has Adam's state for every tensor.
        "schedule: " + Labels.of(options.schedule()) + (relative ? " by muon" : ""),
        "rate: " + options.peakRate(),
        "cache: " + options.cache().label(),
        "window: " + windowTokens,
        "batch: " + options.batch(),
        "seed: " + options.seed());
  }
}
