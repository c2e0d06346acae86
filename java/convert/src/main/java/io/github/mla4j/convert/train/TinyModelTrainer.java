package io.github.mla4j.convert.train;

import static org.bytedeco.pytorch.global.torch.cross_entropy_loss;

import io.github.mla4j.CancelledException;
import io.github.mla4j.convert.torch.AdamW;
import io.github.mla4j.convert.torch.Dropout;
import io.github.mla4j.convert.torch.GradientClip;
import io.github.mla4j.convert.torch.GradientWorkers;
import io.github.mla4j.convert.torch.GroupedQueryAttention;
import io.github.mla4j.convert.torch.LlamaInitializer;
import io.github.mla4j.convert.torch.LlamaModule;
import io.github.mla4j.convert.torch.Parameters;
import io.github.mla4j.convert.torch.TorchScope;
import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.function.Supplier;
import org.bytedeco.pytorch.AbstractTensor;
import org.bytedeco.pytorch.Tensor;

/**
 * Trains a small language model from plain texts: vocabulary, weights and all.
 *
 * <p>Owns the native memory of a run. Not thread-safe; PyTorch's number of threads and its random
 * numbers belong to the whole process, so train one model at a time.
 */
public final class TinyModelTrainer implements AutoCloseable {
  private static final String CHECKPOINT = "checkpoint.pt";
  private static final double FIRST_DECAY = 0.9;
  // Longer than usual for language models, because the batches are small.
  private static final double SECOND_DECAY = 0.98;
  private static final int PROMPT_TOKENS = 24;
  private static final int SAMPLE_TOKENS = 80;
  private static final double SAMPLE_TEMPERATURE = 0.7;

  private final TrainingPlan plan;
  private final Path output;
  private final TrainingCorpus corpus;
  private final TokenWindows windows;
  private final LlamaModule model;
  private final AdamW optimizer;
  private final GradientWorkers workers;
  private long step;

  private TinyModelTrainer(TrainingPlan plan, Path output, TrainingCorpus corpus) {
    this.plan = plan;
    this.output = output;
    this.corpus = corpus;
    windows = new TokenWindows(corpus.training(), plan.sequence(), plan.seed());
    Parameters parameters = LlamaInitializer.initialize(plan.shape(), plan.seed());
    model = new LlamaModule(plan.shape(), parameters, GroupedQueryAttention::new);
    optimizer = new AdamW(parameters.all(), FIRST_DECAY, SECOND_DECAY, plan.weightDecay());
    workers = new GradientWorkers(parameters, plan.shares());
  }

  /**
   * Reads the texts and prepares a run.
   *
   * @param texts UTF-8 files; the held-out passage comes from the first
   * @param output folder for the checkpoint and the results, made when it is not there
   * @param resume go on from the checkpoint in {@code output} when there is one
   * @throws IOException when a text or the checkpoint cannot be read, or when there is a checkpoint
   *     and {@code resume} is false
   * @throws IllegalArgumentException when the texts are too short for the plan
   */
  public static TinyModelTrainer open(
      List<Path> texts, Path output, TrainingPlan plan, boolean resume) throws IOException {
    TrainingCorpus corpus = TrainingCorpus.read(texts, plan);
    if (corpus.vocabulary().size() != plan.shape().vocabulary()) {
      throw new IllegalArgumentException(
          "the texts give a vocabulary of %d tokens, expected %d"
              .formatted(corpus.vocabulary().size(), plan.shape().vocabulary()));
    }
    Path checkpoint = output.resolve(CHECKPOINT);
    boolean started = Files.exists(checkpoint);
    if (started && !resume) {
      throw new FileAlreadyExistsException(
          checkpoint.toString(),
          null,
          "a run was begun here, expected to resume it or another output folder");
    }
    Files.createDirectories(output);
    TinyModelTrainer trainer = new TinyModelTrainer(plan, output, corpus);
    if (started) {
      trainer.restore(checkpoint);
    }
    return trainer;
  }

  private void restore(Path checkpoint) throws IOException {
    try {
      step = Checkpoint.read(checkpoint, textsHash(), model.parameters(), optimizer);
    } catch (IOException e) {
      close();
      throw e;
    }
  }

  private long textsHash() {
    return Arrays.hashCode(corpus.training());
  }

  /**
   * Trains to the end of the plan and writes the model folder.
   *
   * @throws CancelledException if the thread was interrupted; the checkpoint keeps what is done
   */
  public void run(TrainingListener listener) throws IOException {
    long begin = System.nanoTime();
    long firstStep = step;
    long lastReport = begin;
    long lastStep = step;
    double loss = 0;
    while (step < plan.steps()) {
      loss += trainStep();
      boolean last = step == plan.steps();
      if (step % plan.evaluateEvery() == 0 || last) {
        long now = System.nanoTime();
        double tokens = (double) (step - lastStep) * plan.batch() * plan.sequence();
        double secondsPerStep = (now - begin) * 1e-9 / (step - firstStep);
        listener.onProgress(
            new TrainingProgress(
                step,
                plan.steps(),
                loss / (step - lastStep),
                heldOutLoss(),
                tokens / ((now - lastReport) * 1e-9),
                Duration.ofSeconds((long) (secondsPerStep * (plan.steps() - step)))));
        lastReport = System.nanoTime();
        lastStep = step;
        loss = 0;
      }
      boolean due = step % plan.checkpointEvery() == 0 || last;
      boolean interrupted = Thread.interrupted();
      if (due || interrupted) {
        saveCheckpoint();
      }
      if (interrupted) {
        throw new CancelledException("training was cancelled");
      }
      if (due) {
        listener.onSample(sample());
      }
    }
    ModelFolder.write(output, model, corpus, card());
  }

  private ModelCard card() {
    String description =
        String.format(
            Locale.ROOT,
            "Llama-architecture model of %.1f million parameters with its own vocabulary, trained"
                + " by mla4j from random weights: %d steps of %d x %d tokens, seed %d. Held-out"
                + " loss before quantization: %.3f nats per token.",
            model.parameters().count() * 1e-6,
            step,
            plan.batch(),
            plan.sequence(),
            plan.seed(),
            heldOutLoss());
    return new ModelCard(plan.name(), description, plan.license(), corpus.names());
  }

  /** One optimizer step; returns its loss. */
  double trainStep() {
    List<Supplier<Tensor>> losses = new ArrayList<>();
    long[] batch = windows.batch(step, plan.batch());
    int rows = plan.batch() / plan.shares();
    int width = plan.sequence() + 1;
    for (int share = 0; share < plan.shares(); share++) {
      long[] part = Arrays.copyOfRange(batch, share * rows * width, (share + 1) * rows * width);
      // Seeded by the step, dropout is the same after a resume.
      long seed = (plan.seed() * 1_000_003 + step) * plan.shares() + share;
      losses.add(
          () ->
              loss(AbstractTensor.create(part, rows, width), Dropout.seeded(plan.dropout(), seed)));
    }
    double loss =
        TorchScope.compute(
            () -> {
              GradientWorkers.Result result = workers.differentiate(losses);
              GradientClip.clip(result.gradients(), plan.gradientClip());
              optimizer.step(
                  model.parameters().named(result.gradients()),
                  step + 1,
                  plan.schedule().at(step, plan.steps()));
              return result.loss();
            });
    step++;
    return loss;
  }

  /** Mean loss over the held-out passage in nats per token, cut into windows. */
  double heldOutLoss() {
    int[] tokens = corpus.heldOut();
    double sum = 0;
    for (int start = 0; start + 1 < tokens.length; start += plan.sequence()) {
      int end = Math.min(start + plan.sequence() + 1, tokens.length);
      long[] window = new long[end - start];
      for (int i = start; i < end; i++) {
        window[i - start] = tokens[i];
      }
      sum +=
          (window.length - 1)
              * TorchScope.computeWithoutGradients(
                  () ->
                      (double)
                          loss(AbstractTensor.create(window, 1, window.length), Dropout.NONE)
                              .item_float());
    }
    return sum / (tokens.length - 1);
  }

  /** Mean loss of every token but the first of each row; {@code tokens} is [batch, length + 1]. */
  private Tensor loss(Tensor tokens, Dropout dropout) {
    long length = tokens.size(1) - 1;
    Tensor logits = model.logits(tokens.narrow(1, 0, length), dropout);
    return cross_entropy_loss(
        logits.view(-1, plan.shape().vocabulary()), tokens.narrow(1, 1, length).reshape(-1));
  }

  /** Goes on from the beginning of the passage that the model has never seen. */
  private String sample() {
    int[] prompt =
        Arrays.copyOf(corpus.heldOut(), Math.min(PROMPT_TOKENS, corpus.heldOut().length));
    TextSampler sampler = new TextSampler(model, SAMPLE_TEMPERATURE, plan.seed());
    return corpus.vocabulary().decode(sampler.write(prompt, SAMPLE_TOKENS));
  }

  void saveCheckpoint() throws IOException {
    Checkpoint.write(output.resolve(CHECKPOINT), step, textsHash(), model.parameters(), optimizer);
  }

  /** Steps done so far. */
  public long step() {
    return step;
  }

  LlamaModule model() {
    return model;
  }

  /** Frees the model and the optimizer. */
  @Override
  public void close() {
    workers.close();
    optimizer.close();
    model.close();
  }
}
