package io.github.mla4j.cli;

import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;

/** Checks of options' values that several commands have. */
final class OptionValues {
  private OptionValues() {}

  /**
   * Refuses less than the least.
   *
   * @param value null where the option was not given
   */
  static void requireAtLeast(CommandSpec spec, String option, Integer value, int least) {
    if (value != null && value < least) {
      throw new ParameterException(
          spec.commandLine(), "%s is %d, expected at least %d".formatted(option, value, least));
    }
  }
}
