package io.github.mla4j.eval.sweep;

import java.util.List;
import java.util.Optional;

/**
 * A model with a cache: what that takes, how good it is and how fast.
 *
 * @param model its label
 * @param cache the cache as text, see {@link CacheOptions#toString}
 * @param bytesPerToken that the cache takes in a context as long as the quality's: scales, padding,
 *     and the share of tokens held in f16 besides, counted
 * @param bytesPerTokenInLongContext the same as the context grows without end, when that share is
 *     nothing
 * @param effectiveBits 8 · bytesPerToken over the model's elements per token
 * @param speeds by depth; those that the model's context has no room for are left out
 * @param processPeakBytes the most memory that the process had resident meanwhile, weights of model
 *     and teacher included; 0: the machine does not tell
 */
public record SweepEntry(
    String model,
    String cache,
    double bytesPerToken,
    double bytesPerTokenInLongContext,
    double effectiveBits,
    CacheQuality quality,
    List<DepthSpeed> speeds,
    long processPeakBytes) {

  public SweepEntry {
    speeds = List.copyOf(speeds);
  }

  /** The same result under another label of the model, with other speeds. */
  public SweepEntry with(String label, List<DepthSpeed> others) {
    return new SweepEntry(
        label,
        cache,
        bytesPerToken,
        bytesPerTokenInLongContext,
        effectiveBits,
        quality,
        others,
        processPeakBytes);
  }

  /** The speed at a depth, where it was measured. */
  public Optional<DepthSpeed> speedAt(int depth) {
    return speeds.stream().filter(speed -> speed.depth() == depth).findFirst();
  }

  /** Cache and scratch memory at the greatest depth, in bytes; 0 where no depth was measured. */
  public long peakMemoryBytes() {
    return speeds.stream().mapToLong(DepthSpeed::memoryBytes).max().orElse(0);
  }

  /** Model and cache in words. */
  public String title() {
    return model + ", " + cache;
  }
}
