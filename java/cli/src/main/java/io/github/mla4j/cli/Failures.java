package io.github.mla4j.cli;

import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import picocli.CommandLine;
import picocli.CommandLine.ExitCode;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;

/** Turns whatever stopped a command into one line on standard error and an exit status. */
final class Failures {
  private Failures() {}

  /** Exit status 2: the command was called wrongly. */
  static int wrongUse(ParameterException e, String[] args) {
    CommandLine command = e.getCommandLine();
    report(command, oneLine(e.getMessage()) + " (see " + nameOf(command) + " --help)", e);
    return ExitCode.USAGE;
  }

  /** Exit status 1: the command was understood and failed. */
  static int failed(Exception e, CommandLine command, ParseResult parsed) {
    report(command, describe(e), e);
    return ExitCode.SOFTWARE;
  }

  private static void report(CommandLine command, String message, Exception e) {
    command.getOut().flush();
    command.getErr().println("mla: " + message);
    if ("1".equals(System.getenv("MLA_DEBUG"))) {
      e.printStackTrace(command.getErr());
    }
    command.getErr().flush();
  }

  /** The failure in words: Java's file exceptions carry little more than the path. */
  static String describe(Throwable e) {
    if (e instanceof FileSystemException file) {
      if (file instanceof NoSuchFileException) {
        return file.getFile() + ": no such file or directory";
      }
      if (file instanceof AccessDeniedException) {
        return file.getFile() + ": permission denied";
      }
      if (file instanceof FileAlreadyExistsException) {
        return file.getFile() + ": exists already";
      }
    }
    String message = e.getMessage();
    return message == null || message.isBlank() ? e.getClass().getSimpleName() : oneLine(message);
  }

  private static String oneLine(String message) {
    return message.strip().replaceAll("\\s*\\R\\s*", " ");
  }

  private static String nameOf(CommandLine command) {
    return command.getCommandSpec().qualifiedName();
  }
}
