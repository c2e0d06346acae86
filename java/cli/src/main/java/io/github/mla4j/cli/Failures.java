package io.github.mla4j.cli;

import io.github.mla4j.MlaException;
import io.github.mla4j.Status;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import picocli.CommandLine;
import picocli.CommandLine.ExitCode;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;
import picocli.CommandLine.UnmatchedArgumentException;

/** Turns whatever stopped a command into one line on standard error and an exit status. */
final class Failures {
  private Failures() {}

  /** Exit status 2: the command was called wrongly. */
  static int wrongUse(ParameterException e, String[] args) {
    CommandLine command = e.getCommandLine();
    String message = e.getMessage();
    if (e instanceof UnmatchedArgumentException unmatched
        && !unmatched.isUnknownOption()
        && !command.getSubcommands().isEmpty()) {
      message = "there is no command '" + unmatched.getUnmatched().get(0) + "'";
    }
    String help = command.getCommandSpec().qualifiedName() + " --help";
    report(command, oneLine(message) + " (see " + help + ")", e);
    return ExitCode.USAGE;
  }

  /**
   * Exit status 1: the command was understood and failed; 2 where a value is one that the model or
   * the machine cannot take.
   */
  static int failed(Exception e, CommandLine command, ParseResult parsed) {
    report(command, describe(e), e);
    return isWrongValue(e) ? ExitCode.USAGE : ExitCode.SOFTWARE;
  }

  private static boolean isWrongValue(Exception e) {
    return e instanceof IllegalArgumentException
        || (e instanceof MlaException mla && mla.status() == Status.INVALID_ARGUMENT);
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
    if (e instanceof FileSystemException file && file.getReason() == null) {
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
}
