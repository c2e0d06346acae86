package io.github.mla4j.eval.sweep;

import io.github.mla4j.CacheOptions;
import io.github.mla4j.CacheType;
import io.github.mla4j.Model;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;

/**
 * A model of a sweep.
 *
 * @param label what it is called in the reports, unlike the others'
 * @param converted whether it keeps a latent; otherwise plain MHA or GQA
 * @param contextLength tokens
 * @param elementsPerToken numbers that its layers cache for a token: rotary keys and latent (of a
 *     plain model keys and values); scales, padding and scalars of keys are not among them
 * @param f16BytesPerToken bytes that a token takes in an f16 cache
 */
public record SweepModel(
    String label,
    ModelFile file,
    String name,
    long parameters,
    boolean converted,
    int contextLength,
    long elementsPerToken,
    double f16BytesPerToken) {

  /** What is to be known of an open model. */
  public static SweepModel of(String label, ModelFile file, Model model, long elementsPerToken) {
    return new SweepModel(
        label,
        file,
        model.info().name(),
        model.info().parameters(),
        model.info().converted(),
        model.info().contextLength(),
        elementsPerToken,
        model.cacheBytesPerToken(CacheOptions.of(CacheType.F16)));
  }

  /** The same model under another name. */
  public SweepModel labelled(String other) {
    return new SweepModel(
        other,
        file,
        name,
        parameters,
        converted,
        contextLength,
        elementsPerToken,
        f16BytesPerToken);
  }

  /** Those of the depths at which its speed can be measured. */
  public List<Integer> depthsThatFit(List<Integer> depths) {
    return depths.stream().filter(depth -> DepthProbe.fits(depth, contextLength)).toList();
  }

  /** Which depths it has no room for, in words; empty where it has room for all. */
  public Optional<String> shallowNote(List<Integer> depths) {
    List<Integer> fit = depthsThatFit(depths);
    if (fit.size() == depths.size()) {
      return Optional.empty();
    }
    return Optional.of(
        "%s has a context of %d tokens, no room to measure at depth %s"
            .formatted(
                label,
                contextLength,
                depths.stream()
                    .filter(depth -> !fit.contains(depth))
                    .map(String::valueOf)
                    .collect(Collectors.joining(", "))));
  }
}
