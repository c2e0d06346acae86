package io.github.mla4j.cli;

import io.github.mla4j.CancelledException;
import io.github.mla4j.convert.train.TinyModelTrainer;
import io.github.mla4j.convert.train.TrainingListener;
import io.github.mla4j.convert.train.TrainingPlan;
import io.github.mla4j.convert.train.TrainingProgress;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code mla train}: the embedded model, anew. */
@Command(
    name = "train",
    description =
        "Train the embedded model anew from plain texts: vocabulary, weights and all. Takes hours.",
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    sortOptions = false)
final class TrainCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Parameters(
      index = "0",
      paramLabel = "FOLDER",
      description = "Where the model, its texts and checkpoints go.")
  private Path output;

  @Parameters(
      index = "1..*",
      arity = "1..*",
      paramLabel = "TEXT",
      description = "UTF-8 texts; the first gives the passage that is held out.")
  private List<Path> texts;

  @Option(
      names = "--steps",
      paramLabel = "N",
      description = "Optimizer steps (default: the plan's).")
  private Integer steps;

  @Option(names = "--resume", description = "Go on from the checkpoint in FOLDER.")
  private boolean resume;

  @Override
  public Integer call() throws IOException {
    if (steps != null && steps < 1) {
      throw new ParameterException(
          spec.commandLine(), "--steps is " + steps + ", expected at least 1");
    }
    TrainingPlan plan = TrainingPlan.embeddedModel();
    if (steps != null) {
      plan = plan.withSteps(steps);
    }
    try (TinyModelTrainer trainer = TinyModelTrainer.open(texts, output, plan, resume);
        Interrupts interrupts = Interrupts.stopping(Thread.currentThread()::interrupt)) {
      interrupts.arm();
      trainer.run(new Lines(spec.commandLine().getOut()));
    } catch (CancelledException e) {
      spec.commandLine().getErr().println("mla: stopped; --resume goes on from here");
      return Interrupts.EXIT_STATUS;
    }
    return 0;
  }

  private record Lines(PrintWriter out) implements TrainingListener {
    @Override
    public void onProgress(TrainingProgress progress) {
      out.println(progress);
      out.flush();
    }

    @Override
    public void onSample(String text) {
      out.println("  | " + text.replace("\n", "\n  | "));
      out.flush();
    }
  }
}
