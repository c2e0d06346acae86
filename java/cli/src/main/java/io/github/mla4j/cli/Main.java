package io.github.mla4j.cli;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.OutputStreamWriter;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import picocli.CommandLine;

/** Where the {@code mla} command starts. */
public final class Main {
  private Main() {}

  /**
   * Runs one command and exits with its status: 0 done, 1 failed, 2 wrongly used.
   *
   * @param args the words after {@code mla}
   */
  public static void main(String[] args) {
    PrintWriter out = utf8(FileDescriptor.out);
    PrintWriter err = utf8(FileDescriptor.err);
    int status = execute(commandLine().setOut(out).setErr(err), args);
    out.flush();
    err.flush();
    System.exit(status);
  }

  private static int execute(CommandLine commandLine, String[] args) {
    try {
      return commandLine.execute(args);
    } catch (OutOfMemoryError e) {
      commandLine
          .getErr()
          .println("mla: Java's heap is too small for this: try MLA_JAVA_OPTS=-Xmx4g or more");
    } catch (LinkageError e) {
      commandLine.getErr().println("mla: a native library cannot be loaded: " + e.getMessage());
    }
    return CommandLine.ExitCode.SOFTWARE;
  }

  /** The command line with every command, writing to the standard streams until told otherwise. */
  static CommandLine commandLine() {
    return new CommandLine(new MlaCommand())
        // A prompt may begin with '@' or with a dash.
        .setExpandAtFiles(false)
        .setPosixClusteredShortOptionsAllowed(false)
        .setCaseInsensitiveEnumValuesAllowed(true)
        .setUsageHelpWidth(100)
        .setParameterExceptionHandler(Failures::wrongUse)
        .setExecutionExceptionHandler(Failures::failed);
  }

  private static PrintWriter utf8(FileDescriptor stream) {
    return new PrintWriter(
        new OutputStreamWriter(new FileOutputStream(stream), StandardCharsets.UTF_8));
  }
}
