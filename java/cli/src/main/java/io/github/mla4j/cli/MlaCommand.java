package io.github.mla4j.cli;

import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code mla}: nothing by itself, the names of all commands. */
@Command(
    name = "mla",
    description = "Convert language models to latent attention, and run them from the JVM.",
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    commandListHeading = "%nCommands:%n",
    footer = {
      "",
      "'mla COMMAND --help' tells more. Exit status: 0 done, 1 failed, 2 wrongly used."
    })
final class MlaCommand implements Runnable {
  private static final Map<String, Class<?>> COMMANDS = new LinkedHashMap<>();

  static {
    COMMANDS.put("demo", DemoCommand.class);
    COMMANDS.put("run", RunCommand.class);
    COMMANDS.put("chat", ChatCommand.class);
    COMMANDS.put("convert", ConvertCommand.class);
    COMMANDS.put("heal", HealCommand.class);
    COMMANDS.put("eval", EvalCommand.class);
    COMMANDS.put("sweep", SweepCommand.class);
    COMMANDS.put("bench", BenchCommand.class);
    COMMANDS.put("inspect", InspectCommand.class);
    COMMANDS.put("logits", LogitsCommand.class);
    COMMANDS.put("tokenize", TokenizeCommand.class);
    COMMANDS.put("info", InfoCommand.class);
    COMMANDS.put("train", TrainCommand.class);
    COMMANDS.put("test", TestCommand.class);
  }

  @Spec private CommandSpec spec;

  /**
   * The command line for these words: with the command that the first one names, or with all of
   * them where it names none. Making all of them takes a quarter of a short command's time.
   */
  static CommandLine commandLine(String... words) {
    CommandLine mla = new CommandLine(new MlaCommand());
    Optional<String> named = Arrays.stream(words).findFirst().filter(COMMANDS::containsKey);
    named
        .<Collection<String>>map(List::of)
        .orElse(COMMANDS.keySet())
        .forEach(name -> mla.addSubcommand(name, COMMANDS.get(name)));
    return mla;
  }

  @Override
  public void run() {
    throw new ParameterException(spec.commandLine(), "a command is missing");
  }
}
