package io.github.mla4j.cli;

import com.fasterxml.jackson.core.JsonGenerator;
import io.github.mla4j.OperationProfile;
import io.github.mla4j.Profile;
import io.github.mla4j.Roofline;
import io.github.mla4j.Work;
import io.github.mla4j.eval.Machine;
import io.github.mla4j.eval.bench.BenchRow;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;

/** An array of rows, each with the machine, so that rows of several runs can be put together. */
final class BenchJson implements BenchReport {
  private final PrintWriter out;
  private final Machine machine;
  private final Roofline roofline;
  private final List<BenchRow> rows = new ArrayList<>();

  BenchJson(PrintWriter out, Machine machine, Roofline roofline) {
    this.out = out;
    this.machine = machine;
    this.roofline = roofline;
  }

  @Override
  public void row(BenchRow row) {
    rows.add(row);
  }

  @Override
  public void finish() throws IOException {
    Json.print(
        out,
        json -> {
          json.writeStartArray();
          for (BenchRow row : rows) {
            write(json, row);
          }
          json.writeEndArray();
        });
  }

  private void write(JsonGenerator json, BenchRow row) throws IOException {
    json.writeStartObject();
    json.writeStringField("model", row.model());
    json.writeNumberField("parameters", row.parameters());
    json.writeNumberField("weight_bytes", row.weightBytes());
    json.writeStringField("test", row.test().label());
    json.writeNumberField("prompt", row.test().prompt());
    json.writeNumberField("gen", row.test().gen());
    json.writeNumberField("depth", row.test().depth());
    json.writeNumberField("batch", row.test().batch());
    json.writeStringField("cache", row.cache());
    json.writeNumberField("threads", roofline.threads());
    json.writeNumberField("tokens_per_second", row.tokensPerSecond());
    json.writeNumberField("stddev", row.standardDeviation());
    json.writeArrayFieldStart("samples");
    for (double sample : row.samples()) {
      json.writeNumber(sample);
    }
    json.writeEndArray();
    json.writeNumberField("roofline_share", row.rooflineShare(roofline));
    json.writeStringField("roofline_bound", row.isBoundByMemory(roofline) ? "memory" : "compute");
    writeWork(json, row.work());
    json.writeNumberField("cache_bytes_per_token", row.cacheBytesPerToken());
    json.writeNumberField("cache_bytes_held", row.cacheBytes());
    if (row.peakBytes() == 0) {
      json.writeNullField("peak_memory_bytes");
    } else {
      json.writeNumberField("peak_memory_bytes", row.peakBytes());
    }
    writeMachine(json);
    if (row.profile().isPresent()) {
      write(json, row.profile().get());
    }
    json.writeEndObject();
  }

  private void writeMachine(JsonGenerator json) throws IOException {
    json.writeObjectFieldStart("machine");
    json.writeStringField("cpu", machine.cpu());
    json.writeNumberField("cores", machine.cores());
    json.writeStringField("isa", machine.isa());
    json.writeStringField("os", machine.os());
    json.writeStringField("java", machine.java());
    json.writeStringField("version", machine.version());
    json.writeNumberField("bytes_per_second", roofline.bytesPerSecond());
    json.writeNumberField("float_multiply_adds_per_second", roofline.floatMultiplyAddsPerSecond());
    json.writeNumberField(
        "integer_multiply_adds_per_second", roofline.integerMultiplyAddsPerSecond());
    json.writeEndObject();
  }

  private void write(JsonGenerator json, Profile profile) throws IOException {
    json.writeObjectFieldStart("profile");
    json.writeNumberField("tokens", profile.tokens());
    json.writeNumberField("steps", profile.steps());
    json.writeNumberField("seconds", profile.seconds());
    json.writeNumberField("waiting_seconds", profile.waitingSeconds());
    json.writeNumberField("other_seconds", profile.otherSeconds());
    json.writeArrayFieldStart("operations");
    for (OperationProfile each : profile.operations()) {
      json.writeStartObject();
      json.writeStringField("operation", each.operation());
      json.writeNumberField("seconds", each.seconds());
      json.writeNumberField("waiting_seconds", each.waitingSeconds());
      writeWork(json, each.work());
      Json.number(
          json,
          "roofline_share",
          roofline.leastSeconds(each.work()) / (each.seconds() + each.waitingSeconds()));
      json.writeEndObject();
    }
    json.writeEndArray();
    json.writeEndObject();
  }

  private static void writeWork(JsonGenerator json, Work work) throws IOException {
    json.writeObjectFieldStart("work");
    json.writeNumberField("weight_bytes", work.weightBytes());
    json.writeNumberField("cache_bytes", work.cacheBytes());
    json.writeNumberField("float_multiply_adds", work.floatMultiplyAdds());
    json.writeNumberField("integer_multiply_adds", work.integerMultiplyAdds());
    json.writeEndObject();
  }
}
