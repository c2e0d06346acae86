/**
 * Recipe {@code calibrated}: conversion that measures the source on a calibration text and needs no
 * training. Layer by layer; start reading at {@code CalibratedModel}.
 */
package io.github.mla4j.convert.calibrated;
