package io.github.mla4j.cli;

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
    },
    subcommands = {
      DemoCommand.class,
      RunCommand.class,
      ChatCommand.class,
      ConvertCommand.class,
      HealCommand.class,
      EvalCommand.class,
      SweepCommand.class,
      BenchCommand.class,
      InspectCommand.class,
      LogitsCommand.class,
      TokenizeCommand.class,
      InfoCommand.class,
      TrainCommand.class,
      TestCommand.class
    })
final class MlaCommand implements Runnable {
  @Spec private CommandSpec spec;

  @Override
  public void run() {
    throw new ParameterException(spec.commandLine(), "a command is missing");
  }
}
