package io.github.mla4j.cli;

import io.github.mla4j.CacheType;
import io.github.mla4j.CancelledException;
import io.github.mla4j.convert.heal.HealDevice;
import io.github.mla4j.convert.heal.HealLength;
import io.github.mla4j.convert.heal.HealListener;
import io.github.mla4j.convert.heal.HealLoss;
import io.github.mla4j.convert.heal.HealProgress;
import io.github.mla4j.convert.heal.HealReport;
import io.github.mla4j.convert.heal.HealRequest;
import io.github.mla4j.convert.heal.HealSchedule;
import io.github.mla4j.convert.heal.Healer;
import io.github.mla4j.convert.heal.Precision;
import io.github.mla4j.convert.heal.Trained;
import io.github.mla4j.gguf.TensorType;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.concurrent.Callable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code mla heal}: a converted model learns to say what its source says. */
@Command(
    name = "heal",
    description = "Train a converted model to say what its source says.",
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    sortOptions = false)
final class HealCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Parameters(
      index = "0",
      paramLabel = "CONVERTED.gguf",
      description = "A file that 'mla convert' has written.")
  private Path converted;

  @Option(
      names = "--teacher",
      required = true,
      paramLabel = "SOURCE",
      description = "The model that it was converted from: a GGUF file or a Hugging Face folder.")
  private Path teacher;

  @Option(
      names = "--data",
      required = true,
      arity = "1..*",
      paramLabel = "FILE",
      description = "UTF-8 texts to learn from.")
  private List<Path> data = new ArrayList<>();

  @Option(
      names = {"-o", "--output"},
      required = true,
      paramLabel = "OUT.gguf",
      description = "The file to write; a checkpoint and a picture of the loss are put beside it.")
  private Path output;

  @ArgGroup(multiplicity = "1")
  private LengthArguments length = new LengthArguments();

  static final class LengthArguments {
    @Option(
        names = "--minutes",
        paramLabel = "M",
        description = "Train for so long; the learning rate is down when they end.")
    private Double minutes;

    @Option(
        names = "--steps",
        paramLabel = "N",
        description = "Train for so many steps instead; the same seed gives the same weights.")
    private Long steps;

    private HealLength chosen() {
      return minutes != null ? new HealLength.Minutes(minutes) : new HealLength.Steps(steps);
    }
  }

  @Option(names = "--resume", description = "Go on from the checkpoint beside the output.")
  private boolean resume;

  @Option(
      names = "--train",
      paramLabel = "attention|all",
      description = "Tensors that change: those of the attention (default), or all.")
  private Trained trained = Trained.ATTENTION;

  @Option(
      names = "--loss",
      paramLabel = "kl|ce",
      description =
          "kl: the divergence from the teacher's next-token distributions; ce: the cross-entropy "
              + "of the text, as in pre-training (default: half of each).")
  private LossName loss;

  private enum LossName {
    KL,
    CE
  }

  @Option(
      names = "--text-share",
      paramLabel = "S",
      description =
          "Something between the two: the text's own next token counts S, the teacher's "
              + "distribution 1 - S.")
  private Double textShare;

  @Option(
      names = "--schedule",
      paramLabel = "short|paper",
      description =
          "The learning rate: short goes down all along (default); paper is the paper's, 5 %% up, "
              + "then level, the last 10 %% down.")
  private HealSchedule schedule = HealSchedule.SHORT;

  @Option(
      names = "--rate",
      paramLabel = "R",
      description =
          "Peak of the learning rate: for short a share of every tensor's size (default: 3e-3), for "
              + "paper the same for all tensors (default: 1e-4).")
  private Double rate;

  @Option(
      names = "--cache",
      paramLabel = "f16|int8|int4|int2",
      description = "The cache that the model is to run with; it learns to live with its rounding.")
  private String cache = CacheType.F16.label();

  @Option(
      names = "--ctx",
      paramLabel = "N",
      description =
          "Tokens of a window (default: "
              + HealRequest.Options.DEFAULT_WINDOW_TOKENS
              + ", or the model's context where that is shorter).")
  private Integer windowTokens;

  @Option(
      names = "--batch",
      paramLabel = "N",
      description = "Windows of a step (default: " + HealRequest.Options.DEFAULT_BATCH + ").")
  private int batch = HealRequest.Options.DEFAULT_BATCH;

  @Option(
      names = "--seed",
      paramLabel = "N",
      description = "Of the order of the text (default: 1).")
  private long seed = 1;

  @Option(
      names = "--device",
      paramLabel = "cpu|cuda",
      description = "What computes (default: cpu).")
  private HealDevice device = HealDevice.CPU;

  @Option(
      names = "--precision",
      paramLabel = "f32|bf16",
      description = "Of matrix products (default: what this machine does faster).")
  private Precision precision;

  @Option(
      names = "--type",
      paramLabel = "TYPE",
      description =
          "Weight type of the output: ${COMPLETION-CANDIDATES} "
              + "(default: as it was, what has changed in no fewer bits than Q8_0).")
  private TensorType type;

  @Override
  public Integer call() throws IOException {
    PrintWriter err = spec.commandLine().getErr();
    HealRequest request = request();
    HealReport report;
    try (Interrupts interrupts = Interrupts.stopping(Thread.currentThread()::interrupt)) {
      interrupts.arm();
      report = Healer.heal(request, new Lines(err));
    } catch (CancelledException e) {
      boolean begun = Files.exists(Healer.checkpointOf(output));
      err.println(
          "mla: stopped; " + (begun ? "--resume goes on from here" : "nothing is done yet"));
      return Interrupts.EXIT_STATUS;
    }
    report.notes().forEach(note -> err.println("mla: " + note));
    spec.commandLine()
        .getOut()
        .printf(
            Locale.ROOT,
            "%s: %,d bytes, %,d steps, %,d tokens, loss %.4f at first, %.4f at last, %.1f s; %s%n",
            report.output(),
            report.outputBytes(),
            report.steps(),
            report.tokens(),
            report.firstLoss(),
            report.lastLoss(),
            report.elapsed().toMillis() / 1e3,
            report.plot());
    return 0;
  }

  private HealRequest request() {
    try {
      return new HealRequest(
          converted,
          teacher,
          data,
          output,
          length.chosen(),
          resume,
          new HealRequest.Options(
              trained,
              chosenLoss(),
              schedule,
              rate == null ? OptionalDouble.empty() : OptionalDouble.of(rate),
              CacheType.of(cache),
              windowTokens == null ? OptionalInt.empty() : OptionalInt.of(windowTokens),
              batch,
              seed,
              device,
              Optional.ofNullable(precision),
              Optional.ofNullable(type)));
    } catch (IllegalArgumentException e) {
      throw new ParameterException(spec.commandLine(), e.getMessage());
    }
  }

  private HealLoss chosenLoss() {
    if (textShare == null) {
      if (loss == null) {
        return HealLoss.BOTH;
      }
      return loss == LossName.KL ? HealLoss.KL : HealLoss.CE;
    }
    if (loss == LossName.CE) {
      throw new IllegalArgumentException("--text-share divides --loss kl; --loss ce is all text");
    }
    return new HealLoss(textShare);
  }

  private record Lines(PrintWriter err) implements HealListener {
    @Override
    public void onResume(long step, double fraction) {
      err.printf(Locale.ROOT, "mla: resumed after step %,d, %.0f %% done%n", step, 100 * fraction);
      err.flush();
    }

    @Override
    public void onProgress(HealProgress progress) {
      err.printf(
          Locale.ROOT,
          "mla: step %,d, %.0f %%, loss %.4f, %.0f tokens/s, %d:%02d left%n",
          progress.step(),
          100 * progress.fraction(),
          progress.loss(),
          progress.tokensPerSecond(),
          progress.left().toMinutes(),
          progress.left().toSecondsPart());
      err.flush();
    }
  }
}
