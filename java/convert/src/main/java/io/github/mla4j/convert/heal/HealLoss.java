package io.github.mla4j.convert.heal;

import java.util.Locale;

/**
 * What healing brings down: the divergence of the student's next-token distributions from a target,
 * (1 − s) · the teacher's distribution + s · the text's own next token. Its gradient is that of (1
 * − s) · KL + s · cross-entropy.
 *
 * @param textShare s, from 0 to 1
 */
public record HealLoss(double textShare) {
  /** The KL divergence of the student's next-token distributions from the teacher's. */
  public static final HealLoss KL = new HealLoss(0);

  /** The cross-entropy of the text, as in pre-training; the teacher is not asked. */
  public static final HealLoss CE = new HealLoss(1);

  /**
   * Half of each: nearly as near to the teacher on other texts as {@link #KL}, and much nearer to
   * the text (java/convert/README.md).
   */
  public static final HealLoss BOTH = new HealLoss(0.5);

  public HealLoss {
    if (!(textShare >= 0 && textShare <= 1)) {
      throw new IllegalArgumentException(
          "the text's share is " + textShare + ", expected from 0 to 1");
    }
  }

  /** Whether the teacher has a part in the target. */
  public boolean asksTeacher() {
    return textShare < 1;
  }

  /** As files and pictures name it. */
  public String label() {
    if (equals(KL)) {
      return "kl";
    }
    return equals(CE) ? "ce" : "kl and " + textShare + " ce";
  }

  /** The quantity that is measured, for people. */
  public String title() {
    if (equals(KL)) {
      return "KL divergence";
    }
    return equals(CE)
        ? "cross-entropy"
        : String.format(
            Locale.ROOT, "%.2f KL divergence + %.2f cross-entropy", 1 - textShare, textShare);
  }
}
