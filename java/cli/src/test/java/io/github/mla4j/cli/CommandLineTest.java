package io.github.mla4j.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine;

/** What holds for every command: help, exit status, errors in one line. */
final class CommandLineTest {
  @TempDir private Path folder;

  static Set<String> commands() {
    return Main.commandLine().getSubcommands().keySet();
  }

  @ParameterizedTest
  @MethodSource("commands")
  void everyCommandExplainsItself(String command) {
    Cli help = Cli.run(command, "--help").ok();
    assertEquals("", help.err());
    assertTrue(help.out().startsWith("Usage: mla " + command), help.out());
    assertFalse(help.out().contains("${"), help.out());
  }

  @ParameterizedTest
  @MethodSource("commands")
  void everyCommandRefusesAnUnknownOption(String command) {
    Cli.run(command, "--no-such-option").fails(2, "mla " + command + " --help");
  }

  @Test
  void theProgramExplainsItself() {
    String help = Cli.run("--help").ok().out();
    commands().forEach(command -> assertTrue(help.contains("\n  " + command + " "), command));
    assertTrue(Cli.run("--version").ok().out().startsWith("mla "));
    Cli.run().fails(2, "a command is missing");
    Cli.run("frobnicate").fails(2, "frobnicate");
  }

  /** A command alone, as it is made for its own words, is the one that the help lists. */
  @ParameterizedTest
  @MethodSource("commands")
  void aCommandIsNamedAsItIsListed(String command) {
    CommandLine alone = Main.commandLine(command, "--help");
    assertEquals(Set.of(command), alone.getSubcommands().keySet());
    assertEquals(command, alone.getSubcommands().get(command).getCommandSpec().name());
  }

  @Test
  void wrongUseIsStatusTwo() {
    Cli.run("run").fails(2, "MODEL");
    Cli.run("run", "model.gguf").fails(2, "-p", "-f");
    Cli.run("run", "model.gguf", "-p", "a", "-f", "b").fails(2, "mutually exclusive");
    Cli.run("run", "model.gguf", "-p", "a", "-n", "many").fails(2, "-n", "many");
    Cli.run("run", "model.gguf", "-p", "a", "--cache", "int3").fails(2, "--cache", "int3", "int8");
    Cli.run("run", "model.gguf", "-p", "a", "--cache", "latent=f16,size=3").fails(2, "size");
    Cli.run("logits", "model.gguf").fails(2, "--ids");
    Cli.run("logits", "model.gguf", "--ids", "1,x").fails(2, "--ids", "x");
    Cli.run("logits", "model.gguf", "--ids", "1", "--prefill", "fast")
        .fails(2, "--prefill", "fast");
    Cli.run("inspect").fails(2, "FILE");
    Cli.run("inspect", "a.gguf", "b.gguf").fails(2, "b.gguf");
    Cli.run("test").fails(2, "./mla test");
  }

  @ParameterizedTest
  @ValueSource(strings = {"run", "logits", "tokenize", "inspect", "chat"})
  void badFilesAreNamed(String command) throws IOException {
    Path missing = folder.resolve("missing.gguf");
    Cli.run(arguments(command, missing)).fails(1, missing.toString());
    Path empty = Files.createFile(folder.resolve("empty.gguf"));
    Cli.run(arguments(command, empty)).fails(1, empty.toString());
    Path image = Files.write(folder.resolve("image.gguf"), new byte[] {(byte) 0x89, 'P', 'N', 'G'});
    Cli.run(arguments(command, image)).fails(1, image.toString());
    Cli.run(arguments(command, folder)).fails(1, folder.toString());

    byte[] whole = Files.readAllBytes(Cli.stories());
    Path truncated = folder.resolve("truncated.gguf");
    for (int length : new int[] {3, 24, 1000, 20_000}) {
      Files.write(truncated, Arrays.copyOf(whole, length));
      Cli.run(arguments(command, truncated)).fails(1, truncated.toString());
    }
  }

  private static Object[] arguments(String command, Path file) {
    return switch (command) {
      case "run", "tokenize" -> new Object[] {command, file, "-p", "text"};
      case "logits" -> new Object[] {command, file, "--ids", "1"};
      default -> new Object[] {command, file};
    };
  }
}
