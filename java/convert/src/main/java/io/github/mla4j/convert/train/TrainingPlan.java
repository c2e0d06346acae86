package io.github.mla4j.convert.train;

import io.github.mla4j.convert.torch.LlamaShape;

/**
 * Everything that decides what a training run does. The same plan over the same texts with the same
 * number of threads gives the same weights.
 *
 * @param shape of the model; its vocabulary is what the BPE trainer is asked for
 * @param steps optimizer steps in all
 * @param batch sequences in a step
 * @param sequence tokens in a sequence, at most the shape's context
 * @param learningRate peak of the schedule
 * @param warmUp steps until the peak
 * @param coolDown last steps, in which the rate falls to zero
 * @param weightDecay of the matrices
 * @param gradientClip largest norm of all gradients together
 * @param dropout share of the residual stream's inputs set to zero
 * @param heldOutAt where in the first text the held-out passage begins, 0 to below 1
 * @param heldOutCharacters least length of that passage
 * @param evaluateEvery steps between two looks at the held-out passage
 * @param checkpointEvery steps between two checkpoints
 * @param shares parts of a batch that are computed at the same time, each on its own thread;
 *     divides {@code batch}
 * @param seed of the weights, the order of the text and dropout
 */
public record TrainingPlan(
    LlamaShape shape,
    int steps,
    int batch,
    int sequence,
    double learningRate,
    int warmUp,
    int coolDown,
    double weightDecay,
    double gradientClip,
    double dropout,
    double heldOutAt,
    int heldOutCharacters,
    int evaluateEvery,
    int checkpointEvery,
    int shares,
    long seed) {

  public TrainingPlan {
    require(steps > 0, "steps", steps, "at least 1");
    require(batch > 0, "batch", batch, "at least 1");
    require(
        sequence > 0 && sequence <= shape.context(),
        "sequence",
        sequence,
        "1 to the context of " + shape.context());
    require(learningRate > 0, "learningRate", learningRate, "more than 0");
    require(warmUp > 0, "warmUp", warmUp, "at least 1");
    require(coolDown >= 0, "coolDown", coolDown, "at least 0");
    require(weightDecay >= 0, "weightDecay", weightDecay, "at least 0");
    require(gradientClip > 0, "gradientClip", gradientClip, "more than 0");
    require(dropout >= 0 && dropout < 1, "dropout", dropout, "0 to below 1");
    require(heldOutAt >= 0 && heldOutAt < 1, "heldOutAt", heldOutAt, "0 to below 1");
    require(heldOutCharacters > 0, "heldOutCharacters", heldOutCharacters, "at least 1");
    require(evaluateEvery > 0, "evaluateEvery", evaluateEvery, "at least 1");
    require(checkpointEvery > 0, "checkpointEvery", checkpointEvery, "at least 1");
    require(shares > 0 && batch % shares == 0, "shares", shares, "a divisor of batch " + batch);
  }

  private static void require(boolean holds, String name, Object value, String expected) {
    if (!holds) {
      throw new IllegalArgumentException(name + " is " + value + ", expected " + expected);
    }
  }

  /** The plan of the model that mla4j carries with it. */
  public static TrainingPlan embeddedModel() {
    LlamaShape shape = new LlamaShape(2048, 256, 4, 4, 2, 64, 512, 512, 10_000, 1e-5);
    return new TrainingPlan(
        shape, 4500, 2, 512, 2e-3, 150, 1500, 0.1, 1.0, 0, 0.6, 28_000, 100, 250, 2, 1);
  }

  /** The same plan with another number of steps. */
  public TrainingPlan withSteps(int newSteps) {
    return new TrainingPlan(
        shape,
        newSteps,
        batch,
        sequence,
        learningRate,
        warmUp,
        coolDown,
        weightDecay,
        gradientClip,
        dropout,
        heldOutAt,
        heldOutCharacters,
        evaluateEvery,
        checkpointEvery,
        shares,
        seed);
  }

  LearningRate schedule() {
    return new LearningRate(learningRate, warmUp, coolDown);
  }
}
