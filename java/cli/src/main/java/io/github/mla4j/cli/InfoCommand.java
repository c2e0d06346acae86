package io.github.mla4j.cli;

import com.fasterxml.jackson.core.JsonGenerator;
import io.github.mla4j.Gpu;
import io.github.mla4j.Mla;
import io.github.mla4j.SystemInfo;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code mla info}: what runs here, and why. */
@Command(
    name = "info",
    description = "Tell the version, the instruction set chosen and why, cores and GPUs.",
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    footer = {
      "",
      "MLA_ISA=avx2 (or another of those listed) in the environment forces one,",
      "MLA_NODES=\"0-7;8-15\" says which cores share a memory node (MLA_NODES=: all do)."
    })
final class InfoCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Option(names = "--json", description = "Print one JSON object.")
  private boolean json;

  @Override
  public Integer call() throws IOException {
    PrintWriter out = spec.commandLine().getOut();
    SystemInfo info = Mla.systemInfo();
    if (json) {
      Json.print(out, body -> write(body, info));
      return 0;
    }
    out.printf("version   %s%n", info.version());
    out.printf("isa       %s (%s)%n", info.isa(), info.isaReason());
    out.printf("isas      %s%n", String.join(", ", info.isas()));
    out.printf("cores     %d, %d threads a session%n", info.cores(), info.threads());
    out.printf("nodes     %d (%s)%n", info.memoryNodes(), info.memoryNodesReason());
    out.printf("backends  %s%n", String.join(", ", info.backends()));
    for (Gpu gpu : info.gpus()) {
      out.printf(
          Locale.ROOT,
          "%-9s %s, compute capability %s, %.1f GiB%s%n",
          gpu.device(),
          gpu.model(),
          gpu.capability(),
          gpu.memoryBytes() / (double) (1 << 30),
          gpu.problem().isEmpty() ? "" : ": cannot be used, " + gpu.problem());
    }
    if (!info.gpuReason().isEmpty()) {
      out.printf("no GPU    %s%n", info.gpuReason());
    }
    out.printf("java      %s%n", java());
    out.flush();
    return 0;
  }

  private static void write(JsonGenerator json, SystemInfo info) throws IOException {
    json.writeStartObject();
    json.writeStringField("version", info.version());
    json.writeStringField("isa", info.isa());
    json.writeStringField("isa_reason", info.isaReason());
    writeStrings(json, "isas", info.isas());
    json.writeNumberField("cores", info.cores());
    json.writeNumberField("threads", info.threads());
    json.writeNumberField("memory_nodes", info.memoryNodes());
    json.writeStringField("memory_nodes_reason", info.memoryNodesReason());
    writeStrings(json, "backends", info.backends());
    json.writeArrayFieldStart("gpus");
    for (Gpu gpu : info.gpus()) {
      json.writeStartObject();
      json.writeStringField("name", gpu.device().label());
      json.writeStringField("model", gpu.model());
      json.writeStringField("capability", gpu.capability());
      json.writeNumberField("memory_bytes", gpu.memoryBytes());
      json.writeStringField("problem", gpu.problem());
      json.writeEndObject();
    }
    json.writeEndArray();
    json.writeStringField("gpu_reason", info.gpuReason());
    json.writeStringField("java", java());
    json.writeEndObject();
  }

  private static void writeStrings(JsonGenerator json, String name, List<String> values)
      throws IOException {
    json.writeArrayFieldStart(name);
    for (String value : values) {
      json.writeString(value);
    }
    json.writeEndArray();
  }

  private static String java() {
    return Runtime.version() + ", " + System.getProperty("java.vendor");
  }
}
