package io.github.mla4j.cli;

import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code mla eval}: how good a model is; nothing by itself, the names of what is measured. */
@Command(
    name = "eval",
    description = "Measure how good a model is, with any cache type.",
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    commandListHeading = "%nMeasures:%n",
    subcommands = {
      EvalPerplexityCommand.class,
      EvalDivergenceCommand.class,
      EvalHellaSwagCommand.class,
      EvalPasskeyCommand.class
    })
final class EvalCommand implements Runnable {
  @Spec private CommandSpec spec;

  @Override
  public void run() {
    throw new ParameterException(
        spec.commandLine(),
        "a measure is missing: " + String.join(", ", spec.subcommands().keySet()));
  }
}
