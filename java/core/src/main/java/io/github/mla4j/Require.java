package io.github.mla4j;

/** Checks of options that are told as they are set. */
final class Require {
  private Require() {}

  static int positive(String name, int value) {
    if (value < 1) {
      throw new IllegalArgumentException(name + " is " + value + ", expected 1 or more");
    }
    return value;
  }
}
