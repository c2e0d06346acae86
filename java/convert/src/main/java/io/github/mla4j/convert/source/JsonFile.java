package io.github.mla4j.convert.source;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.github.mla4j.BadFileException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** JSON files of a model's directory. */
public final class JsonFile {
  private static final ObjectMapper JSON = new ObjectMapper();

  static {
    JSON.getFactory()
        .setStreamReadConstraints(
            StreamReadConstraints.builder().maxStringLength(Integer.MAX_VALUE).build());
  }

  private JsonFile() {}

  /**
   * The object in the file.
   *
   * @throws BadFileException if it holds anything else
   */
  @SuppressWarnings("exports") // for other packages of this module
  public static JsonNode read(Path file) throws IOException {
    JsonNode root;
    try {
      root = JSON.readTree(Files.readAllBytes(file));
    } catch (JsonProcessingException e) {
      throw new BadFileException(
          "%s: not valid JSON (line %d): %s"
              .formatted(
                  file,
                  e.getLocation() == null ? 0 : e.getLocation().getLineNr(),
                  e.getOriginalMessage()));
    }
    if (!root.isObject()) {
      throw new BadFileException("%s: expected a JSON object".formatted(file));
    }
    return root;
  }
}
