package io.github.mla4j.convert;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;

/**
 * What a conversion did.
 *
 * @param output the file written
 * @param outputBytes its size
 * @param layers converted
 * @param sourceElements elements that the source caches per token, all layers
 * @param convertedElements elements that the result caches per token, all layers
 * @param sourceSha256 of the source's file, or of its weight files in order of name
 * @param elapsed time taken
 * @param notes things worth telling, such as tensors that could not take the wanted type
 */
public record ConversionReport(
    Path output,
    long outputBytes,
    int layers,
    long sourceElements,
    long convertedElements,
    String sourceSha256,
    Duration elapsed,
    List<String> notes) {

  public ConversionReport {
    notes = List.copyOf(notes);
  }

  /** Elements cached after the conversion, as a fraction of those before. */
  public double cacheFraction() {
    return (double) convertedElements / sourceElements;
  }
}
