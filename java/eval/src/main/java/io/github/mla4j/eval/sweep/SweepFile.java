package io.github.mla4j.eval.sweep;

import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationContext;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.SerializerProvider;
import com.fasterxml.jackson.databind.deser.std.StdDeserializer;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.module.SimpleModule;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.ser.std.StdSerializer;
import io.github.mla4j.BadFileException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.Optional;

/** A sweep as JSON, which is also what a later run goes on from. */
public final class SweepFile {
  private static final ObjectMapper MAPPER =
      JsonMapper.builder()
          .propertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE)
          .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES) // what follows from the rest
          .enable(DeserializationFeature.FAIL_ON_MISSING_CREATOR_PROPERTIES)
          .enable(DeserializationFeature.FAIL_ON_NULL_CREATOR_PROPERTIES)
          .addModule(
              new SimpleModule()
                  .addSerializer(double.class, new NumberOrNull())
                  .addDeserializer(double.class, new NullAsNan()))
          .build();

  private SweepFile() {}

  /**
   * Reads a file that {@link #json} was written to.
   *
   * @return empty where there is no file
   * @throws BadFileException naming it, where it holds anything else
   */
  public static Optional<Sweep> read(Path file) throws IOException {
    if (!Files.exists(file)) {
      return Optional.empty();
    }
    try {
      JsonNode tree = MAPPER.readTree(Files.readAllBytes(file));
      int format = tree.path("format").asInt();
      if (format != Sweep.FORMAT) {
        throw new BadFileException(
            "%s: format is %s, expected %d: choose another folder, or move the file away"
                .formatted(file, tree.path("format"), Sweep.FORMAT));
      }
      return Optional.of(MAPPER.treeToValue(tree, Sweep.class));
    } catch (JsonProcessingException e) {
      throw new BadFileException(
          "%s: not what a sweep has written (%s): choose another folder, or move the file away"
              .formatted(file, e.getOriginalMessage()));
    }
  }

  /** The whole sweep, with what follows from it: share of the source's bytes, the front. */
  public static String json(Sweep sweep) {
    return tree(sweep).toPrettyString() + "\n";
  }

  /** The same in one line. */
  public static String jsonLine(Sweep sweep) {
    return tree(sweep).toString();
  }

  /**
   * The same with {@code best}, the choice within so many bytes per token; its model and cache are
   * null where none takes so few.
   */
  public static String jsonLineWithBest(Sweep sweep, double bytesPerToken) {
    ObjectNode tree = tree(sweep);
    Optional<SweepEntry> choice = QualityFront.best(sweep.results(), bytesPerToken);
    tree.putObject("best")
        .put("within_bytes_per_token", bytesPerToken)
        .put("model", choice.map(SweepEntry::model).orElse(null))
        .put("cache", choice.map(SweepEntry::cache).orElse(null));
    return tree.toString();
  }

  /** Replaces a file's content at once: whoever reads it, or stops this, never has half of it. */
  public static void replace(Path file, String content) throws IOException {
    Path fresh = file.resolveSibling(file.getFileName() + ".new");
    Files.writeString(fresh, content);
    Files.move(fresh, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
  }

  private static ObjectNode tree(Sweep sweep) {
    ObjectNode tree = MAPPER.valueToTree(sweep);
    List<SweepEntry> front = sweep.front();
    for (int i = 0; i < sweep.results().size(); i++) {
      SweepEntry entry = sweep.results().get(i);
      ObjectNode result = (ObjectNode) tree.path("results").get(i);
      result.put("share_of_source_f16", sweep.shareOfSource(entry));
      result.put("peak_memory_bytes", entry.peakMemoryBytes());
      result.put("on_front", front.contains(entry));
    }
    return tree;
  }

  /** JSON has no infinity and no NaN. */
  private static final class NumberOrNull extends StdSerializer<Double> {
    private static final long serialVersionUID = 1;

    NumberOrNull() {
      super(double.class, false);
    }

    @Override
    public void serialize(Double value, JsonGenerator json, SerializerProvider provider)
        throws IOException {
      if (Double.isFinite(value)) {
        json.writeNumber(value);
      } else {
        json.writeNull();
      }
    }
  }

  private static final class NullAsNan extends StdDeserializer<Double> {
    private static final long serialVersionUID = 1;

    NullAsNan() {
      super(double.class);
    }

    @Override
    public Double deserialize(JsonParser json, DeserializationContext context) throws IOException {
      return _parseDoublePrimitive(json, context);
    }

    @Override
    public Double getNullValue(DeserializationContext context) {
      return Double.NaN;
    }
  }
}
