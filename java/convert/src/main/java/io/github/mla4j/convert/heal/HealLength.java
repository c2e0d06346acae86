package io.github.mla4j.convert.heal;

/** What ends a run. */
public sealed interface HealLength {

  /** So many minutes of training, those before a kill included. */
  record Minutes(double minutes) implements HealLength {
    public Minutes {
      if (!(minutes > 0 && minutes < Integer.MAX_VALUE)) {
        throw new IllegalArgumentException("minutes is " + minutes + ", expected more than 0");
      }
    }
  }

  /** So many steps: the same on every machine. */
  record Steps(long steps) implements HealLength {
    public Steps {
      if (steps < 1) {
        throw new IllegalArgumentException("steps is " + steps + ", expected at least 1");
      }
    }
  }
}
