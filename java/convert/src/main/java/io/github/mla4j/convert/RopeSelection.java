package io.github.mla4j.convert;

/** Which rotary pairs of a head keep their rotation (MHA2MLA, arXiv 2502.14837, section 3.1). */
public enum RopeSelection {
  /** The pairs of highest frequency: the first ones. */
  HIGH("high"),
  /** The pairs of lowest frequency: the last ones. */
  LOW("low"),
  /** Every (head length / rotary dims)-th pair. */
  UNIFORM("uniform"),
  /** For each KV head the pairs that contribute most to the scores of a calibration text. */
  TWO_NORM("2-norm");

  private final String label;

  RopeSelection(String label) {
    this.label = label;
  }

  /** The name used by the command line, by converted files and by the paper's code. */
  public String label() {
    return label;
  }

  /**
   * The selection of this name.
   *
   * @throws IllegalArgumentException if there is none; the message lists the names
   */
  public static RopeSelection of(String label) {
    return Labels.find(values(), RopeSelection::label, label, "rotary selection");
  }

  @Override
  public String toString() {
    return label;
  }
}
