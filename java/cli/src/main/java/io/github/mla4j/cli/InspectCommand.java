package io.github.mla4j.cli;

import com.fasterxml.jackson.core.JsonGenerator;
import io.github.mla4j.ModelInfo;
import io.github.mla4j.cli.Inspection.LayerRanks;
import io.github.mla4j.gguf.GgufTensor;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code mla inspect}: what a file holds. */
@Command(
    name = "inspect",
    description =
        "Tell what a GGUF file holds: architecture, sizes, ranks, what its cache costs, how it was converted.",
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    sortOptions = false)
final class InspectCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Parameters(paramLabel = "FILE", description = "A GGUF file.")
  private Path file;

  @Option(names = "--json", description = "Print one JSON object.")
  private boolean json;

  @Override
  public Integer call() throws IOException {
    Inspection found = Inspection.of(file);
    PrintWriter out = spec.commandLine().getOut();
    if (json) {
      Json.print(out, body -> write(body, found));
    } else {
      print(out, found);
    }
    return 0;
  }

  private static void print(PrintWriter out, Inspection found) {
    line(out, "file", "%s (%,d bytes)", found.file(), found.bytes());
    line(
        out,
        "architecture",
        "%s%s",
        found.architecture(),
        found.baseArchitecture().map(base -> ", converted from " + base).orElse(""));
    found.notRunnable().ifPresent(reason -> line(out, "cannot run", "%s", reason));
    found.model().ifPresent(model -> printSizes(out, model));
    printRanks(out, found);
    found
        .cacheBytesPerToken()
        .forEach((type, bytes) -> line(out, "cache " + type, "%,.1f bytes per token", bytes));
    found.recipe().forEach((key, value) -> line(out, key, "%s", value));
    out.println();
    TextTable tensors = new TextTable("tensor", "type", "shape", "bytes");
    for (GgufTensor tensor : found.tensors()) {
      String shape = tensor.dims().stream().map(String::valueOf).collect(Collectors.joining(" x "));
      tensors.row(
          tensor.name(),
          tensor.type().toString(),
          shape,
          String.format(Locale.ROOT, "%,d", tensor.byteSize()));
    }
    tensors.print(out);
    out.flush();
  }

  private static void printSizes(PrintWriter out, ModelInfo model) {
    if (!model.name().isEmpty()) {
      line(out, "name", "%s", model.name());
    }
    line(out, "parameters", "%,d (%,d bytes of weights)", model.parameters(), model.weightBytes());
    line(out, "layers", "%d", model.layers());
    line(out, "width", "%d", model.embeddingLength());
    line(
        out,
        "heads",
        "%d for queries, %d for keys and values, %d dims each",
        model.heads(),
        model.kvHeads(),
        model.headLength());
    line(out, "vocabulary", "%,d tokens", model.vocabularySize());
    line(out, "context", "%,d tokens", model.contextLength());
  }

  private static void printRanks(PrintWriter out, Inspection found) {
    boolean alike = found.ranks().stream().distinct().count() == 1;
    for (int layer = 0; layer < (alike ? 1 : found.ranks().size()); layer++) {
      LayerRanks ranks = found.ranks().get(layer);
      line(
          out,
          alike ? "each layer" : "layer " + layer,
          "caches %d elements per token: %d x %d rotary, latent %d",
          ranks.elements(),
          ranks.ropeGroups(),
          ranks.ropeDims(),
          ranks.latent());
    }
  }

  private static void line(PrintWriter out, String label, String format, Object... values) {
    out.printf(Locale.ROOT, "%-18s ", label);
    out.printf(Locale.ROOT, format + "%n", values);
  }

  private static void write(JsonGenerator json, Inspection found) throws IOException {
    json.writeStartObject();
    json.writeStringField("file", found.file().toString());
    json.writeNumberField("bytes", found.bytes());
    json.writeStringField("architecture", found.architecture());
    if (found.baseArchitecture().isPresent()) {
      json.writeStringField("base_architecture", found.baseArchitecture().get());
    }
    json.writeBooleanField("runnable", found.model().isPresent());
    if (found.notRunnable().isPresent()) {
      json.writeStringField("reason", found.notRunnable().get());
    }
    if (found.model().isPresent()) {
      writeSizes(json, found.model().get());
    }
    json.writeArrayFieldStart("ranks");
    for (LayerRanks ranks : found.ranks()) {
      json.writeStartObject();
      json.writeNumberField("rope_groups", ranks.ropeGroups());
      json.writeNumberField("rope_dims", ranks.ropeDims());
      json.writeNumberField("latent", ranks.latent());
      json.writeNumberField("elements", ranks.elements());
      json.writeEndObject();
    }
    json.writeEndArray();
    json.writeObjectFieldStart("cache_bytes_per_token");
    for (Map.Entry<String, Double> entry : found.cacheBytesPerToken().entrySet()) {
      json.writeNumberField(entry.getKey(), entry.getValue());
    }
    json.writeEndObject();
    json.writeObjectFieldStart("recipe");
    for (Map.Entry<String, String> entry : found.recipe().entrySet()) {
      json.writeStringField(entry.getKey(), entry.getValue());
    }
    json.writeEndObject();
    writeTensors(json, found);
    json.writeEndObject();
  }

  private static void writeSizes(JsonGenerator json, ModelInfo model) throws IOException {
    json.writeStringField("name", model.name());
    json.writeBooleanField("converted", model.converted());
    json.writeNumberField("parameters", model.parameters());
    json.writeNumberField("weight_bytes", model.weightBytes());
    json.writeNumberField("layers", model.layers());
    json.writeNumberField("embedding_length", model.embeddingLength());
    json.writeNumberField("heads", model.heads());
    json.writeNumberField("kv_heads", model.kvHeads());
    json.writeNumberField("head_length", model.headLength());
    json.writeNumberField("vocabulary_size", model.vocabularySize());
    json.writeNumberField("context_length", model.contextLength());
  }

  private static void writeTensors(JsonGenerator json, Inspection found) throws IOException {
    json.writeArrayFieldStart("tensors");
    for (GgufTensor tensor : found.tensors()) {
      json.writeStartObject();
      json.writeStringField("name", tensor.name());
      json.writeStringField("type", tensor.type().toString());
      json.writeArrayFieldStart("dims");
      for (long dim : tensor.dims()) {
        json.writeNumber(dim);
      }
      json.writeEndArray();
      json.writeNumberField("bytes", tensor.byteSize());
      json.writeEndObject();
    }
    json.writeEndArray();
  }
}
