package io.github.mla4j.convert;

/** How the keys without rotation and the values are factored into a latent. */
public enum SvdMethod {
  /** One latent for keys and values together. */
  JOINT("joint"),
  /** A latent for the keys and one for the values, each of the full rank. */
  SPLIT("split"),
  /** A latent for the keys; the values stay as they are. */
  ONLY_KEY("only_key"),
  /** A latent for the values; the keys stay as they are. */
  ONLY_VALUE("only_value"),
  /** No factoring: only the rotation of some pairs is dropped. */
  NONE("none");

  private final String label;

  SvdMethod(String label) {
    this.label = label;
  }

  /** The name used by the command line, by converted files and by the paper's code. */
  public String label() {
    return label;
  }

  /** Whether keys are factored. */
  public boolean factorsKeys() {
    return this == JOINT || this == SPLIT || this == ONLY_KEY;
  }

  /** Whether values are factored. */
  public boolean factorsValues() {
    return this == JOINT || this == SPLIT || this == ONLY_VALUE;
  }

  /**
   * The method of this name.
   *
   * @throws IllegalArgumentException if there is none; the message lists the names
   */
  public static SvdMethod of(String label) {
    return Labels.find(values(), SvdMethod::label, label, "SVD method");
  }

  @Override
  public String toString() {
    return label;
  }
}
