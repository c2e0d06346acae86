package io.github.mla4j.cli;

import com.fasterxml.jackson.core.JsonGenerator;
import io.github.mla4j.Model;
import io.github.mla4j.Prefill;
import io.github.mla4j.Session;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code mla logits}: a model's answer at every position, for comparing with other software. */
@Command(
    name = "logits",
    description =
        "Print the logits at every position of a sequence, as {\"logits\": [[...], ...]}.",
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    sortOptions = false)
final class LogitsCommand implements Callable<Integer> {
  /** Logits held at once; a long sequence is evaluated in parts. */
  private static final int MOST_LOGITS = 1 << 24;

  @Spec private CommandSpec spec;

  @Parameters(
      paramLabel = "MODEL",
      description =
          "A GGUF file, or a Hugging Face or official MHA2MLA folder, which is converted in memory "
              + "in F32.")
  private Path file;

  @Option(
      names = "--ids",
      required = true,
      split = ",",
      paramLabel = "ID",
      description = "Token ids, e.g. 1,2,3.")
  private int[] ids;

  @Option(
      names = "--prefill",
      paramLabel = "absorbed|expanded|auto",
      description = "How attention is computed where many tokens come at once (default: auto).")
  private Prefill prefill = Prefill.AUTO;

  @Option(names = "--step", description = "Feed one token at a time, as decoding does.")
  private boolean step;

  @Mixin private SessionArguments options;

  @Override
  public Integer call() throws IOException {
    try (Model model = Models.open(file, options.device())) {
      int vocabulary = model.info().vocabularySize();
      requireIds(vocabulary);
      try (Session session = options.openToCompare(model, prefill)) {
        Json.print(
            spec.commandLine().getOut(),
            json -> {
              json.writeStartObject();
              json.writeArrayFieldStart("logits");
              if (step) {
                writeSteps(json, session);
              } else {
                writeBatches(json, session, Math.max(1, MOST_LOGITS / vocabulary));
              }
              json.writeEndArray();
              json.writeEndObject();
            });
      }
    }
    return 0;
  }

  private void writeSteps(JsonGenerator json, Session session) throws IOException {
    for (int id : ids) {
      session.append(id);
      FloatBuffer logits = session.logits();
      float[] row = new float[logits.remaining()];
      logits.get(row);
      writeRow(json, row);
    }
  }

  private void writeBatches(JsonGenerator json, Session session, int most) throws IOException {
    for (int first = 0; first < ids.length; first += most) {
      int last = Math.min(first + most, ids.length);
      for (float[] row : session.logitsAll(Arrays.copyOfRange(ids, first, last))) {
        writeRow(json, row);
      }
    }
  }

  private static void writeRow(JsonGenerator json, float[] row) throws IOException {
    json.writeStartArray();
    for (float value : row) {
      json.writeNumber(value);
    }
    json.writeEndArray();
  }

  private void requireIds(int vocabulary) {
    for (int id : ids) {
      if (id < 0 || id >= vocabulary) {
        throw new ParameterException(
            spec.commandLine(),
            "--ids has %d, expected 0 to %d, the model's vocabulary".formatted(id, vocabulary - 1));
      }
    }
  }
}
