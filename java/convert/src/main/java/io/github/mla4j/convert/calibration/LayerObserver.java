package io.github.mla4j.convert.calibration;

import io.github.mla4j.convert.linalg.FloatMatrix;

/** Sees what a model computes on calibration text. Matrices are valid during the call only. */
@FunctionalInterface
public interface LayerObserver {

  /**
   * A sequence's projections in a layer, before norms and rotation, heads side by side.
   *
   * @param queries [positions, heads · d]
   * @param keys [positions, kvHeads · d]
   */
  void projected(int layer, FloatMatrix queries, FloatMatrix keys);
}
