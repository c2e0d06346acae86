package io.github.mla4j.convert.train;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** {@code TrainMain [--resume] [--steps N] OUTPUT TEXT...}: trains the embedded model. */
public final class TrainMain {
  private TrainMain() {}

  public static void main(String[] args) throws IOException {
    boolean resume = false;
    TrainingPlan plan = TrainingPlan.embeddedModel();
    List<Path> paths = new ArrayList<>();
    for (int i = 0; i < args.length; i++) {
      if (args[i].equals("--resume")) {
        resume = true;
      } else if (args[i].equals("--steps")) {
        plan = plan.withSteps(Integer.parseInt(args[++i]));
      } else {
        paths.add(Path.of(args[i]));
      }
    }
    try (TinyModelTrainer trainer =
        TinyModelTrainer.open(paths.subList(1, paths.size()), paths.get(0), plan, resume)) {
      trainer.run(
          new TrainingListener() {
            @Override
            public void onProgress(TrainingProgress progress) {
              System.out.println(progress);
            }

            @Override
            public void onSample(String text) {
              System.out.println("  | " + text.replace("\n", "\n  | "));
            }
          });
    }
  }
}
