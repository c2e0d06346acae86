package io.github.mla4j.cli;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.io.PrintWriter;

/** One JSON value on a line of its own. */
final class Json {
  private static final JsonFactory FACTORY =
      new JsonFactory().disable(JsonGenerator.Feature.AUTO_CLOSE_TARGET);

  private Json() {}

  /** Writes the value's parts. */
  @FunctionalInterface
  interface Body {
    void write(JsonGenerator json) throws IOException;
  }

  static void print(PrintWriter out, Body body) throws IOException {
    JsonGenerator json = FACTORY.createGenerator(out);
    body.write(json);
    // Not by try-with-resources: after a failure that would make half a value look whole.
    json.close();
    out.println();
    out.flush();
  }

  /** One object; the body writes its fields. */
  static void printObject(PrintWriter out, Body fields) throws IOException {
    print(
        out,
        json -> {
          json.writeStartObject();
          fields.write(json);
          json.writeEndObject();
        });
  }

  /** A field with a number, or null where it is none: JSON has no infinity. */
  static void number(JsonGenerator json, String name, double value) throws IOException {
    if (Double.isFinite(value)) {
      json.writeNumberField(name, value);
    } else {
      json.writeNullField(name);
    }
  }
}
