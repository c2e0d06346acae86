package io.github.mla4j.eval.bench;

import io.github.mla4j.Profile;
import io.github.mla4j.Roofline;
import io.github.mla4j.Work;
import io.github.mla4j.eval.Moments;
import java.util.List;
import java.util.Optional;

/**
 * What a test measured.
 *
 * @param model what the model is called
 * @param parameters of the model
 * @param weightBytes of its file's tensors
 * @param cache how the cache keeps numbers
 * @param samples tokens per second of every repetition, of all sequences together
 * @param work of a repetition
 * @param cacheBytesPerToken that a token takes as the context grows without end
 * @param cacheBytes that the caches of all sequences held afterwards, whole pages
 * @param peakBytes the most memory that the process had resident meanwhile; 0: the system does not
 *     tell
 * @param profile of one more repetition, where it was asked for
 */
public record BenchRow(
    String model,
    long parameters,
    long weightBytes,
    String cache,
    BenchCase test,
    List<Double> samples,
    Work work,
    double cacheBytesPerToken,
    long cacheBytes,
    long peakBytes,
    Optional<Profile> profile) {

  public BenchRow {
    samples = List.copyOf(samples);
  }

  /** The mean of the samples. */
  public double tokensPerSecond() {
    return moments().mean();
  }

  /** Of the samples, with n − 1; 0 of a single one, as llama-bench has it. */
  public double standardDeviation() {
    return samples.size() > 1 ? moments().standardDeviation() : 0;
  }

  /** The least time that the machine allows, by the time it took: 1 is as fast as can be. */
  public double rooflineShare(Roofline roofline) {
    double tokens = (double) test.tokens() * test.batch();
    return roofline.leastSeconds(work) * tokensPerSecond() / tokens;
  }

  /** Whether reading takes longer than multiplying, at the machine's limits of both. */
  public boolean isBoundByMemory(Roofline roofline) {
    return roofline.readingSeconds(work) >= roofline.multiplyingSeconds(work);
  }

  private Moments moments() {
    Moments moments = new Moments();
    samples.forEach(moments::add);
    return moments;
  }
}
