package io.github.mla4j.convert;

import java.time.Duration;
import java.util.Optional;

/**
 * How far a conversion is.
 *
 * @param stage what is being done, in a word or two
 * @param layer layers of this stage that are done
 * @param layers layers of this stage
 * @param fraction of the whole conversion, 0 to 1
 * @param remaining estimated time left, once there is something to estimate it from
 */
public record Progress(
    String stage, int layer, int layers, double fraction, Optional<Duration> remaining) {}
