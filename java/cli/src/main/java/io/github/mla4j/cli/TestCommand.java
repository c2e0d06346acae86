package io.github.mla4j.cli;

import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/**
 * {@code mla test}: documents what the launcher does itself, because tests need a build, not a run.
 */
@Command(
    name = "test",
    description =
        "Run every test of the source tree: native, Java, and the format of both. "
            + "The launcher (./mla in the source tree) does this itself.",
    mixinStandardHelpOptions = true,
    versionProvider = Version.class)
final class TestCommand implements Runnable {
  @Spec private CommandSpec spec;

  @Option(
      names = "--sanitize",
      description =
          "Run the native tests under the address, undefined-behaviour and thread sanitizers instead.")
  private boolean sanitize;

  @Option(
      names = "--arm64",
      description = "Build for arm64 and run the native tests under emulation (qemu-user) instead.")
  private boolean arm64;

  @Override
  public void run() {
    throw new ParameterException(
        spec.commandLine(), "tests are run by the launcher, ./mla test, in the source tree");
  }
}
