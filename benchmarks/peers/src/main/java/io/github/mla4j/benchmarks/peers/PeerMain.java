package io.github.mla4j.benchmarks.peers;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/**
 * A Java peer's side of the talk with the driver: a job on standard input, results as JSON lines.
 */
public final class PeerMain {
  private static final ObjectMapper JSON = new ObjectMapper();

  private PeerMain() {}

  /** Opens a model with a cache. */
  @FunctionalInterface
  public interface Opener {
    Engine open(Job job) throws Exception;
  }

  /** Runs the job on standard input and leaves the process: engines keep threads of their own. */
  public static void run(Opener opener) {
    PrintStream out =
        new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);
    System.setOut(System.err); // whatever libraries print
    int status = 0;
    try {
      Job job = JSON.readValue(System.in, Job.class);
      Engine engine = opener.open(job);
      say(out, Map.of("engine", engine.name(), "build", engine.build()));
      for (Step step : job.steps()) {
        long nanos = engine.run(step);
        if (!step.test().isEmpty()) {
          say(out, Map.of("test", step.test(), "seconds", nanos / 1e9));
        }
      }
    } catch (Throwable e) { // a library that cannot be linked is an answer too
      e.printStackTrace();
      say(out, Map.of("error", e.toString()));
      status = 1;
    }
    System.exit(status);
  }

  private static void say(PrintStream out, Map<String, Object> fields) {
    out.println(JSON.valueToTree(fields));
  }
}
