package io.github.mla4j.convert.train;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Trains the embedded model anew from the command line. */
public final class TrainMain {
  private static final String USAGE = "usage: TrainMain [--resume] [--steps N] OUTPUT TEXT...";

  private TrainMain() {}

  /**
   * {@code [--resume] [--steps N] OUTPUT TEXT...}: the folder to write to, then the UTF-8 texts,
   * the first of which gives the held-out passage. Exit status 0 done, 1 failed, 2 wrongly used.
   */
  public static void main(String[] args) {
    System.exit(run(List.of(args)));
  }

  private static int run(List<String> args) {
    boolean resume = false;
    TrainingPlan plan = TrainingPlan.embeddedModel();
    List<Path> paths = new ArrayList<>();
    for (int i = 0; i < args.size(); i++) {
      String argument = args.get(i);
      if (argument.equals("--resume")) {
        resume = true;
      } else if (argument.equals("--steps")) {
        String value = i + 1 < args.size() ? args.get(++i) : "";
        if (!value.matches("[1-9][0-9]{0,8}")) {
          return misused("--steps '" + value + "', expected a number of steps");
        }
        plan = plan.withSteps(Integer.parseInt(value));
      } else if (argument.startsWith("-")) {
        return misused("unknown option " + argument);
      } else {
        paths.add(Path.of(argument));
      }
    }
    if (paths.size() < 2) {
      return misused("an output folder and at least one text are missing");
    }
    return train(paths.get(0), paths.subList(1, paths.size()), plan, resume);
  }

  private static int misused(String error) {
    System.err.println("mla: " + error);
    System.err.println(USAGE);
    return 2;
  }

  private static int train(Path output, List<Path> texts, TrainingPlan plan, boolean resume) {
    try (TinyModelTrainer trainer = TinyModelTrainer.open(texts, output, plan, resume)) {
      trainer.run(new Console());
      return 0;
    } catch (IOException | IllegalArgumentException e) {
      System.err.println("mla: " + e.getMessage());
      return 1;
    }
  }

  private static final class Console implements TrainingListener {
    @Override
    public void onProgress(TrainingProgress progress) {
      System.out.println(progress);
    }

    @Override
    public void onSample(String text) {
      System.out.println("  | " + text.replace("\n", "\n  | "));
    }
  }
}
