package io.github.mla4j.convert.heal;

/** What healing brings down. */
public enum HealLoss {
  /** The KL divergence of the student's next-token distributions from the teacher's. */
  KL,
  /** The cross-entropy of the text, as in pre-training; the teacher is not asked. */
  CE
}
