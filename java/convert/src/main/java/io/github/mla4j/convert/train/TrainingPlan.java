package io.github.mla4j.convert.train;

import io.github.mla4j.convert.torch.LlamaShape;
import io.github.mla4j.gguf.TensorType;

/**
 * Everything that decides what a training run does. The same plan over the same texts with the same
 * number of threads gives the same weights.
 *
 * @param name of the model, written into its file
 * @param license of the weights, an SPDX identifier in lower case, written into the file
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
    String name,
    String license,
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
    requireBlocks("hidden", shape.hidden());
    requireBlocks("heads * headDim", shape.queryWidth());
    requireBlocks("feedForward", shape.feedForward());
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

  /** The model is stored in blocks of a row's elements. */
  private static void requireBlocks(String name, int value) {
    int block = TensorType.Q8_0.blockElements();
    require(value % block == 0, name, value, "a multiple of " + block);
  }

  /** The plan of the model that mla4j carries with it: 2.9 million parameters, 3 MB as Q8_0. */
  public static TrainingPlan embeddedModel() {
    return new TrainingPlan(
        "mla-tiny",
        "apache-2.0",
        new LlamaShape(2048, 256, 4, 4, 2, 64, 512, 512, 10_000, 1e-5),
        2000, // steps
        2, // batch
        512, // sequence
        2e-3, // learning rate
        150, // warm-up
        750, // cool-down
        0.1, // weight decay
        1.0, // gradient clip
        0, // dropout: two epochs are too few to overfit
        0.6, // held out at
        28_000, // held-out characters
        100, // evaluate every
        250, // checkpoint every
        2, // shares
        1); // seed
  }

  /** The same plan over another number of steps, warm-up and cool-down in proportion. */
  public TrainingPlan withSteps(int newSteps) {
    double ratio = (double) newSteps / steps;
    return new TrainingPlan(
        name,
        license,
        shape,
        newSteps,
        batch,
        sequence,
        learningRate,
        Math.max(1, (int) Math.round(warmUp * ratio)),
        (int) Math.round(coolDown * ratio),
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

  /** The same plan with other random numbers. */
  public TrainingPlan withSeed(long newSeed) {
    return new TrainingPlan(
        name,
        license,
        shape,
        steps,
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
        newSeed);
  }

  LearningRate schedule() {
    return new LearningRate(learningRate, warmUp, coolDown);
  }
}
