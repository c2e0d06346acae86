package io.github.mla4j.convert.heal;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;

/**
 * What a run did.
 *
 * @param output the file written
 * @param outputBytes its size
 * @param plot the picture of the loss
 * @param steps of the whole run
 * @param tokens trained on
 * @param elapsed time that training took, interruptions not counted
 * @param firstLoss mean over the first steps, nats a token
 * @param lastLoss mean over the last steps
 * @param notes things worth telling, such as tensors that could not take the wanted type
 */
public record HealReport(
    Path output,
    long outputBytes,
    Path plot,
    long steps,
    long tokens,
    Duration elapsed,
    double firstLoss,
    double lastLoss,
    List<String> notes) {

  public HealReport {
    notes = List.copyOf(notes);
  }
}
