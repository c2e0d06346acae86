package io.github.mla4j.benchmarks.peers;

import io.github.mla4j.Mla;
import io.github.mla4j.Model;
import io.github.mla4j.ModelInfo;
import io.github.mla4j.eval.Machine;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.EnumMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.ExitCode;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code benchmarks/peers/run}: mla4j and its peers, interleaved. */
@Command(
    name = "benchmarks/peers/run",
    description = {
      "Measure mla4j beside other engines: the same file, tokens, and threads, every engine in a "
          + "process of its own, in turn, every other round in the opposite order. DIR gets "
          + "peers.md, peers.json and peers.png.",
      "",
      "Engines come from package registries, once, into benchmarks/peers/build; those that cannot "
          + "be had are told of, and the others are measured."
    },
    mixinStandardHelpOptions = true,
    sortOptions = false,
    usageHelpWidth = 100,
    footer = {"", "Ctrl-C ends it and what it started; DIR has what whole rounds gave until then."})
final class PeersCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Parameters(paramLabel = "MODEL", description = "A GGUF file that all engines read.")
  private Path source;

  @Option(
      names = "--converted",
      paramLabel = "FILE",
      description = "A conversion of it, for mla4j: measured with f16, int4 and int2 caches.")
  private Path converted;

  @Option(
      names = "--hf",
      paramLabel = "DIR",
      description =
          "The same weights as a Hugging Face folder, for Jlama, which reads no GGUF (default: made "
              + "of MODEL, once, in benchmarks/peers/build).")
  private Path folder;

  @Option(
      names = {"-p", "--n-prompt"},
      split = ",",
      paramLabel = "N",
      description = "Tokens of a prompt (default: 512,4096).")
  private List<Integer> prompts = List.of(512, 4096);

  @Option(
      names = {"-n", "--n-gen"},
      paramLabel = "N",
      description = "Tokens that come one at a time (default: ${DEFAULT-VALUE}).")
  private int gen = 48;

  @Option(
      names = {"-d", "--n-depth"},
      split = ",",
      paramLabel = "N",
      description = "Tokens in the cache before those (default: 0,4096,7680).")
  private List<Integer> depths = List.of(0, 4096, 7680);

  @Option(
      names = {"-t", "--threads"},
      paramLabel = "T",
      description = "Threads that compute (default: one per core).")
  private Integer threads;

  @Option(
      names = {"-r", "--rounds"},
      paramLabel = "N",
      description = "Times that everything is measured (default: ${DEFAULT-VALUE}).")
  private int rounds = 3;

  @Option(
      names = "--peers",
      split = ",",
      paramLabel = "LIST",
      description = "Engines beside mla4j (default: all): ${COMPLETION-CANDIDATES}.",
      completionCandidates = PeerIds.class)
  private List<String> ids = new PeerIds().list();

  @Option(
      names = "--prebuilt",
      description =
          "Compile nothing: llama.cpp is then left out, ik_llama.cpp the package's own binary, for "
              + "any processor with AVX2. Else both are compiled for this machine, once.")
  private boolean prebuilt;

  @Option(
      names = "--limit",
      paramLabel = "SECONDS",
      description = "The most that one run of an engine may take (default: ${DEFAULT-VALUE}).")
  private int limit = 1800;

  @Option(
      names = "--out",
      required = true,
      paramLabel = "DIR",
      description = "The folder of the results, made where it is not there.")
  private Path out;

  @Option(names = "--json", description = "Print peers.json instead of peers.md.")
  private boolean json;

  /** The engines that can be left out. */
  static final class PeerIds implements Iterable<String> {
    List<String> list() {
      return Stream.of(Peer.values()).filter(peer -> peer != Peer.MLA4J).map(Peer::id).toList();
    }

    @Override
    public java.util.Iterator<String> iterator() {
      return list().iterator();
    }
  }

  public static void main(String[] args) {
    System.exit(commandLine().execute(args));
  }

  static CommandLine commandLine() {
    return new CommandLine(new PeersCommand())
        .setParameterExceptionHandler(PeersCommand::wrongUse)
        .setExecutionExceptionHandler(PeersCommand::failed);
  }

  private static int wrongUse(ParameterException e, String[] args) {
    CommandLine command = e.getCommandLine();
    command
        .getErr()
        .printf("peers: %s (see %s --help)%n", e.getMessage(), command.getCommandName());
    return ExitCode.USAGE;
  }

  private static int failed(Exception e, CommandLine command, CommandLine.ParseResult parsed) {
    String message =
        e instanceof NoSuchFileException file
            ? file.getFile() + ": no such file or directory"
            : e.getMessage();
    command.getErr().println("peers: " + message);
    return ExitCode.SOFTWARE;
  }

  @Override
  public Integer call() throws IOException {
    requireAtLeast("-p", prompts, 1);
    requireAtLeast("-n", List.of(gen), 1);
    requireAtLeast("-d", depths, 0);
    requireAtLeast("-r", List.of(rounds), 1);
    requireAtLeast("--limit", List.of(limit), 1);
    if (threads != null) {
      requireAtLeast("-t", List.of(threads), 1);
    }
    Set<Peer> peers = peers();
    if (folder != null && !Files.isDirectory(folder)) {
      throw wrong("--hf %s is not a folder".formatted(folder));
    }
    StepPlan plan = new StepPlan(prompts, gen, depths);
    TokenText text = look(plan);
    ResultFolder results = ResultFolder.open(out);
    Path home = Path.of(System.getProperty("peers.home"));
    Models models =
        new Models(
            source,
            Optional.ofNullable(converted),
            folder == null ? Installer.unpacked(home, source) : folder);
    Run run =
        Run.begin(
            words(),
            commit(home),
            Machine.here("development"),
            threads == null ? Mla.systemInfo().threads() : threads,
            plan,
            models,
            peers.stream().flatMap(peer -> peer.configurations(models).stream()).toList());
    Children children = new Children();
    Map<Peer, Launch> launches =
        install(new Installer(home, prebuilt, children, this::err), peers, run);
    Rounds measuring =
        new Rounds(
            new PeerProcess(children, Duration.ofSeconds(limit)),
            plan,
            run.threads(),
            text,
            results.logs(),
            run,
            this::err);
    for (int round = 0; round < rounds; round++) {
      measuring.round(round, launches);
      results.write(run);
    }
    spec.commandLine().getOut().print(json ? ReportJson.of(run) + "\n" : Report.of(run));
    spec.commandLine().getOut().flush();
    err("%s has peers.md, peers.json and peers.png".formatted(out));
    return ExitCode.OK;
  }

  private Map<Peer, Launch> install(Installer installer, Set<Peer> peers, Run run)
      throws IOException {
    Map<Peer, Launch> launches = new EnumMap<>(Peer.class);
    for (Peer peer : peers) {
      try {
        if (peer == Peer.JLAMA && folder == null) {
          installer.unpack(peer, source, run.models().folder());
        }
        launches.put(peer, installer.install(peer));
      } catch (AbsentException e) {
        run.absent().put(peer, e.getMessage());
        err("%s is absent: %s".formatted(peer.id(), e.getMessage()));
      }
    }
    return launches;
  }

  /** Opens both models before anything is installed: a wrong one is told of at once. */
  private TokenText look(StepPlan plan) throws IOException {
    TokenText text;
    try (Model model = open(source)) {
      requireRoom(source, model.info(), plan);
      text = TokenText.of(model, plan.context());
    }
    if (converted != null) {
      try (Model model = open(converted)) {
        requireRoom(converted, model.info(), plan);
      }
    }
    return text;
  }

  private static Model open(Path file) throws IOException {
    if (!Files.exists(file)) {
      throw new NoSuchFileException(file.toString());
    }
    return Model.load(file);
  }

  private void requireRoom(Path file, ModelInfo info, StepPlan plan) {
    if (plan.context() > info.contextLength()) {
      throw wrong(
          "-p, -d and -n need a context of %d tokens, %s has %d"
              .formatted(plan.context(), file, info.contextLength()));
    }
  }

  private Set<Peer> peers() {
    Set<Peer> peers = new LinkedHashSet<>(List.of(Peer.MLA4J));
    for (String id : ids) {
      peers.add(
          Peer.of(id)
              .orElseThrow(
                  () ->
                      wrong(
                          "--peers has '%s', expected some of %s"
                              .formatted(id, String.join(", ", new PeerIds().list())))));
    }
    return peers;
  }

  /** The command as it can be typed again. */
  private String words() {
    return spec.commandLine().getParseResult().originalArgs().stream()
        .map(word -> word.matches("[\\w./:=,+-]+") ? word : "'" + word.replace("'", "'\\''") + "'")
        .collect(Collectors.joining(" ", spec.name() + " ", ""));
  }

  private static String commit(Path home) throws IOException {
    Process git =
        new ProcessBuilder("git", "-C", home.toString(), "describe", "--always", "--dirty").start();
    try (BufferedReader lines = git.inputReader()) {
      String line = lines.readLine();
      return line == null ? "unknown" : line;
    }
  }

  private void requireAtLeast(String option, List<Integer> values, int least) {
    for (int value : values) {
      if (value < least) {
        throw wrong("%s is %d, expected at least %d".formatted(option, value, least));
      }
    }
  }

  private ParameterException wrong(String message) {
    return new ParameterException(spec.commandLine(), message);
  }

  private void err(String line) {
    spec.commandLine().getErr().println("peers: " + line);
    spec.commandLine().getErr().flush();
  }
}
