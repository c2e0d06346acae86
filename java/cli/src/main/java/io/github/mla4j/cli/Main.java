package io.github.mla4j.cli;

import io.github.mla4j.CacheOptions;
import io.github.mla4j.Device;
import io.github.mla4j.convert.RopeSelection;
import io.github.mla4j.convert.SvdMethod;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.OutputStreamWriter;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.util.function.Function;
import picocli.CommandLine;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

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
    int status = execute(commandLine(args).setOut(out).setErr(err), args);
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

  /**
   * The command line for these words, with every command where there are none; it writes to the
   * standard streams until told otherwise.
   */
  static CommandLine commandLine(String... words) {
    return MlaCommand.commandLine(words)
        // A prompt may begin with '@' or with a dash.
        .setExpandAtFiles(false)
        .setPosixClusteredShortOptionsAllowed(false)
        .setCaseInsensitiveEnumValuesAllowed(true)
        .registerConverter(CacheOptions.class, named(CacheOptions::parse))
        .registerConverter(Device.class, named(Device::parse))
        .registerConverter(RopeSelection.class, named(RopeSelection::of))
        .registerConverter(SvdMethod.class, named(SvdMethod::of))
        .setUsageHelpWidth(100)
        .setParameterExceptionHandler(Failures::wrongUse)
        .setExecutionExceptionHandler(Failures::failed);
  }

  /** What the library cannot read is a wrong value of the option, in the library's words. */
  private static <T> ITypeConverter<T> named(Function<String, T> read) {
    return value -> {
      try {
        return read.apply(value);
      } catch (IllegalArgumentException e) {
        throw new TypeConversionException(e.getMessage());
      }
    };
  }

  private static PrintWriter utf8(FileDescriptor stream) {
    return new PrintWriter(
        new OutputStreamWriter(new FileOutputStream(stream), StandardCharsets.UTF_8));
  }
}
