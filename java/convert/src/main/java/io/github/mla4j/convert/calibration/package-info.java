/** Measurements of a source model on calibration text. */
package io.github.mla4j.convert.calibration;
