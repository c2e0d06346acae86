package io.github.mla4j.benchmarks.peers;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/** One run of a peer in a process of its own. */
final class PeerProcess {
  private static final ObjectMapper JSON = new ObjectMapper();

  /** Hears what the peer tells. */
  interface Listener {
    /** The model is open. */
    void engine(String name, String build);

    void test(String test, double seconds);
  }

  private final Children children;
  private final Duration limit;

  /**
   * @param limit of time for one run
   */
  PeerProcess(Children children, Duration limit) {
    this.children = children;
    this.limit = limit;
  }

  /**
   * Runs the job to its end.
   *
   * @param log gets what the peer writes to standard error
   * @throws AbsentException where it fails, with its own words
   */
  void run(Launch launch, Job job, Path log, Listener listener)
      throws AbsentException, IOException {
    Process process;
    try {
      process = children.start(new ProcessBuilder(launch.command()).redirectError(log.toFile()));
    } catch (IOException e) {
      throw new AbsentException(e.getMessage());
    }
    process
        .onExit()
        .orTimeout(limit.toSeconds(), TimeUnit.SECONDS)
        .exceptionally(
            late -> {
              Children.end(process);
              return process;
            });
    long start = System.nanoTime();
    tell(process, job);
    String error = listen(process, listener);
    int status = children.waitFor(process);
    if (!error.isEmpty()) {
      throw new AbsentException(error);
    }
    if (status != 0) {
      throw new AbsentException(
          System.nanoTime() - start >= limit.toNanos()
              ? "it did not finish in %d s, see --limit".formatted(limit.toSeconds())
              : "it ended with status %d: %s".formatted(status, LogFile.errorLine(log)));
    }
  }

  private static void tell(Process process, Job job) {
    try (OutputStream in = process.getOutputStream()) {
      JSON.writeValue(in, job);
    } catch (IOException e) {
      // It has ended already; its status and its log say why.
    }
  }

  /** Until the process has nothing more to say; returns the error that it tells of, or nothing. */
  private static String listen(Process process, Listener listener) throws IOException {
    String error = "";
    try (BufferedReader lines = process.inputReader()) {
      for (String line = lines.readLine(); line != null; line = lines.readLine()) {
        if (!line.startsWith("{")) {
          continue; // a library's own words
        }
        JsonNode said;
        try {
          said = JSON.readTree(line);
        } catch (JsonProcessingException e) {
          return "it wrote what is no JSON: " + line;
        }
        if (said.has("engine")) {
          listener.engine(said.get("engine").asText(), said.get("build").asText());
        } else if (said.has("test")) {
          listener.test(said.get("test").asText(), said.get("seconds").asDouble());
        } else if (said.has("error")) {
          error = said.get("error").asText();
        }
      }
    }
    return error;
  }
}
