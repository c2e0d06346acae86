package io.github.mla4j.eval.sweep;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;

/** The best quality for the bytes: what no other choice beats in both. */
public final class QualityFront {
  private static final Comparator<SweepEntry> BY_BYTES =
      Comparator.comparingDouble(SweepEntry::bytesPerToken)
          .thenComparingDouble(entry -> entry.quality().perplexity());

  private static final Comparator<SweepEntry> BY_PERPLEXITY =
      Comparator.<SweepEntry>comparingDouble(entry -> entry.quality().perplexity())
          .thenComparingDouble(SweepEntry::bytesPerToken);

  private QualityFront() {}

  /**
   * Those for which there is no other that takes no more bytes and has no greater perplexity, and
   * is better in one of the two; from the fewest bytes on. Choices that are equal in both are all
   * among them. What has no perplexity is never.
   */
  public static List<SweepEntry> of(List<SweepEntry> entries) {
    List<SweepEntry> front = new ArrayList<>();
    for (SweepEntry entry :
        entries.stream().filter(QualityFront::known).sorted(BY_BYTES).toList()) {
      SweepEntry last = front.isEmpty() ? entry : front.get(front.size() - 1);
      if (front.isEmpty()
          || entry.quality().perplexity() < last.quality().perplexity()
          || BY_BYTES.compare(entry, last) == 0) {
        front.add(entry);
      }
    }
    return front;
  }

  /** The lowest perplexity within so many bytes per token; of equal ones that of fewest bytes. */
  public static Optional<SweepEntry> best(List<SweepEntry> entries, double bytesPerToken) {
    return entries.stream()
        .filter(entry -> known(entry) && entry.bytesPerToken() <= bytesPerToken)
        .min(BY_PERPLEXITY);
  }

  /** The choice that takes the fewest bytes. */
  public static Optional<SweepEntry> smallest(List<SweepEntry> entries) {
    return entries.stream().filter(QualityFront::known).min(BY_BYTES);
  }

  private static boolean known(SweepEntry entry) {
    return Double.isFinite(entry.quality().perplexity());
  }
}
