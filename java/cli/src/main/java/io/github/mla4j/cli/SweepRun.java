package io.github.mla4j.cli;

import io.github.mla4j.Activations;
import io.github.mla4j.CacheOptions;
import io.github.mla4j.CancelledException;
import io.github.mla4j.Device;
import io.github.mla4j.Model;
import io.github.mla4j.Session;
import io.github.mla4j.eval.Divergence;
import io.github.mla4j.eval.Machine;
import io.github.mla4j.eval.ProcessMemory;
import io.github.mla4j.eval.TextWindows;
import io.github.mla4j.eval.sweep.CacheQuality;
import io.github.mla4j.eval.sweep.DepthProbe;
import io.github.mla4j.eval.sweep.DepthSpeed;
import io.github.mla4j.eval.sweep.Sweep;
import io.github.mla4j.eval.sweep.SweepEntry;
import io.github.mla4j.eval.sweep.SweepModel;
import io.github.mla4j.eval.sweep.SweepReuse;
import io.github.mla4j.eval.sweep.SweepSettings;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.time.OffsetDateTime;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.Stream;

/** Measures what is left of a sweep, pair by pair. {@link #stop} may come from any thread. */
final class SweepRun {
  private final PrintWriter err;
  private final String command;
  private final SweepSettings settings;
  private final Machine machine;
  private final Device device;
  private final SweepModels models;
  private final Map<String, CacheOptions> caches;
  private final SweepReuse reuse;
  private final List<Session> running = new CopyOnWriteArrayList<>();
  private volatile boolean stopped;

  /**
   * A run that has not begun.
   *
   * @param err takes lines of progress
   * @param command that asked for it, in words
   * @param caches by their labels in the settings
   * @param reuse what need not be measured
   */
  SweepRun(
      PrintWriter err,
      String command,
      SweepSettings settings,
      Machine machine,
      Device device,
      SweepModels models,
      Map<String, CacheOptions> caches,
      SweepReuse reuse) {
    this.err = err;
    this.command = command;
    this.settings = settings;
    this.machine = machine;
    this.device = device;
    this.models = models;
    this.caches = caches;
    this.reuse = reuse;
  }

  /** Takes the sweep after every pair. */
  interface Keeper {
    void keep(Sweep sweep) throws IOException;
  }

  /** A pair with what is known of it and the depths that are left to measure. */
  private record Task(
      SweepModel model, String cache, Optional<SweepEntry> known, List<Integer> depths) {
    boolean isLeft() {
      return known.isEmpty() || !depths.isEmpty();
    }
  }

  /** The text as the teacher's tokenizer cuts it. */
  private record Text(String words, TextWindows windows, int[] tokens) {}

  /** What all pairs are measured against, and where that is told. */
  private record Against(Model teacher, Text text, EvalProgress progress) {}

  /** Ends {@link #measure(String, Optional, Keeper)} soon, by an exception. */
  void stop() {
    stopped = true;
    running.forEach(Session::cancel);
  }

  /**
   * Measures everything that is left.
   *
   * @param earlier whose date and command stay where there is nothing left
   * @throws CancelledException when it was stopped
   */
  Sweep measure(String text, Optional<Sweep> earlier, Keeper keeper) throws IOException {
    List<Task> tasks = tasks();
    if (tasks.stream().noneMatch(Task::isLeft)) {
      say("nothing is left to measure");
      Sweep sweep = sweep(reuse.kept(), earlier);
      keeper.keep(sweep);
      return sweep;
    }
    long done = tasks.stream().filter(task -> !task.isLeft()).count();
    if (done > 0) {
      say("%d of %d pairs are measured already", done, tasks.size());
    }
    List<SweepEntry> results = new ArrayList<>(reuse.kept());
    try (Model teacher = Models.open(Path.of(models.teacher().file().path()), device)) {
      Text cut = cut(text, teacher);
      long work = tasks.stream().mapToLong(task -> work(task, cut.windows)).sum();
      Against against = new Against(teacher, cut, EvalProgress.inPerCent(err, work));
      for (SweepModel model : models.all()) {
        List<Task> left =
            tasks.stream().filter(task -> task.model == model && task.isLeft()).toList();
        if (left.isEmpty()) {
          continue;
        }
        if (model.file().equals(models.teacher().file())) {
          measure(left, teacher, against, results, keeper);
        } else {
          try (Model opened = Models.open(Path.of(model.file().path()), device)) {
            requireSameTokens(model, opened, against);
            measure(left, opened, against, results, keeper);
          }
        }
      }
    }
    return sweep(results, Optional.empty());
  }

  private void measure(
      List<Task> tasks, Model model, Against against, List<SweepEntry> results, Keeper keeper)
      throws IOException {
    for (Task task : tasks) {
      SweepEntry entry = measure(task, model, against);
      results.removeIf(
          known -> known.model().equals(entry.model()) && known.cache().equals(entry.cache()));
      results.add(entry);
      keeper.keep(sweep(results, Optional.empty()));
      say(
          "%s: %,.1f bytes per token, perplexity %.3f, KL divergence %.5f",
          entry.title(),
          entry.bytesPerToken(),
          entry.quality().perplexity(),
          entry.quality().kldMean());
    }
  }

  private SweepEntry measure(Task task, Model model, Against against) {
    ProcessMemory.forgetPeak();
    CacheOptions cache = caches.get(task.cache);
    double bytes = model.cacheBytesPerToken(cache, settings.context());
    CacheQuality quality =
        task.known.map(SweepEntry::quality).orElseGet(() -> quality(task, model, cache, against));
    List<DepthSpeed> speeds =
        Stream.concat(
                task.known.stream().flatMap(known -> known.speeds().stream()),
                speeds(task, model, cache, against).stream())
            .sorted(Comparator.comparingInt(DepthSpeed::depth))
            .toList();
    return new SweepEntry(
        task.model.label(),
        task.cache,
        bytes,
        model.cacheBytesPerToken(cache),
        8 * bytes / task.model.elementsPerToken(),
        quality,
        speeds,
        ProcessMemory.peakBytes());
  }

  private CacheQuality quality(Task task, Model model, CacheOptions cache, Against against) {
    TextWindows windows = against.text.windows;
    try (Session session = open(model, cache, settings.context(), Activations.FINE);
        Session teacher =
            open(against.teacher, CacheOptions.defaults(), settings.context(), Activations.FINE)) {
      return CacheQuality.of(
          Divergence.measure(
              session,
              teacher,
              model.info().vocabularySize(),
              windows,
              mean -> step(task, against, workOfWindow(), "KL divergence so far %.5f", mean)));
    } finally {
      running.clear();
    }
  }

  private List<DepthSpeed> speeds(Task task, Model model, CacheOptions cache, Against against) {
    if (task.depths.isEmpty()) {
      return List.of();
    }
    int context = DepthProbe.context(task.depths, model.info().contextLength());
    try (Session session = open(model, cache, context, Activations.MIXED)) {
      return DepthProbe.measure(
          session,
          context,
          against.text.tokens,
          task.depths,
          work -> step(task, against, work, "speed"));
    } finally {
      running.clear();
    }
  }

  /** A session that {@link #stop} reaches. */
  private Session open(Model model, CacheOptions cache, int context, Activations activations) {
    Session session =
        model.newSession(
            options ->
                options
                    .cache(cache)
                    .contextLength(context)
                    .threads(settings.threads())
                    .activations(activations));
    running.add(session);
    return session;
  }

  private void step(Task task, Against against, long work, String words, Object... values) {
    // Between two calls there is nothing that cancelling a session could stop.
    if (stopped) {
      throw new CancelledException("the sweep was stopped");
    }
    against.progress.add(
        work,
        "%s, %s, " + words,
        Stream.concat(Stream.of(task.model.label(), task.cache), Stream.of(values)).toArray());
  }

  private List<Task> tasks() {
    List<Task> tasks = new ArrayList<>();
    for (SweepModel model : models.all()) {
      for (String cache : settings.caches()) {
        Optional<SweepEntry> known = reuse.result(model.label(), cache);
        List<Integer> depths =
            model.depthsThatFit(settings.depths()).stream()
                .filter(depth -> known.flatMap(entry -> entry.speedAt(depth)).isEmpty())
                .toList();
        tasks.add(new Task(model, cache, known, depths));
      }
    }
    return tasks;
  }

  private long work(Task task, TextWindows windows) {
    long quality = task.known.isPresent() ? 0 : windows.count() * workOfWindow();
    long speed =
        task.depths.isEmpty() ? 0 : DepthProbe.work(task.depths, task.model.contextLength());
    return quality + speed;
  }

  /** Model and teacher both take the tokens. */
  private long workOfWindow() {
    return 2L * settings.context();
  }

  private Text cut(String text, Model teacher) throws IOException {
    TextWindows all = TextWindows.of(teacher.tokenizer(), text, settings.context());
    if (all.count() == 0) {
      throw new IOException(settings.data() + ": too short to predict a token of it");
    }
    TextWindows windows = settings.limit() == 0 ? all : all.first(settings.limit());
    return new Text(text, windows, teacher.tokenizer().encode(text, false, false));
  }

  private void requireSameTokens(SweepModel model, Model opened, Against against)
      throws IOException {
    int expected = against.teacher.info().vocabularySize();
    int found = opened.info().vocabularySize();
    if (found != expected) {
      throw new IllegalArgumentException(
          "MODEL %s has a vocabulary of %d tokens, expected %d as the teacher %s has"
              .formatted(model.file().path(), found, expected, models.teacher().file().path()));
    }
    Optional<String> difference =
        cut(against.text.words, opened).windows.difference(against.text.windows);
    if (difference.isPresent()) {
      throw new IllegalArgumentException(
          "MODEL %s has another tokenizer than the teacher %s: with it, %s"
              .formatted(model.file().path(), models.teacher().file().path(), difference.get()));
    }
  }

  /** Results in the order of models and caches. */
  private Sweep sweep(List<SweepEntry> results, Optional<Sweep> written) {
    List<SweepEntry> sorted = new ArrayList<>();
    for (SweepModel model : models.all()) {
      for (String cache : settings.caches()) {
        results.stream()
            .filter(entry -> entry.model().equals(model.label()) && entry.cache().equals(cache))
            .forEach(sorted::add);
      }
    }
    return new Sweep(
        Sweep.FORMAT,
        written
            .map(Sweep::date)
            .orElseGet(() -> OffsetDateTime.now().truncatedTo(ChronoUnit.SECONDS).toString()),
        written.map(Sweep::command).orElse(command),
        written.map(Sweep::machine).orElse(machine),
        settings,
        models.all(),
        sorted);
  }

  private void say(String format, Object... values) {
    err.printf(Locale.ROOT, "mla: " + format + "%n", values);
    err.flush();
  }
}
