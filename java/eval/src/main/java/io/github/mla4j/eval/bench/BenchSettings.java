package io.github.mla4j.eval.bench;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;

/**
 * What a benchmark was asked for, besides models and caches.
 *
 * @param prompts lengths of prompts; 0: none
 * @param gens numbers of single tokens; 0: none
 * @param depths tokens in the cache beforehand
 * @param batches sequences that go on together, in tests of single tokens
 * @param repetitions of every test, at least 1
 * @param threads that compute
 * @param profiled whether every test is run once more, for its time by operation
 */
public record BenchSettings(
    List<Integer> prompts,
    List<Integer> gens,
    List<Integer> depths,
    List<Integer> batches,
    int repetitions,
    int threads,
    boolean profiled) {

  public BenchSettings {
    prompts = List.copyOf(prompts);
    gens = List.copyOf(gens);
    depths = List.copyOf(depths);
    batches = List.copyOf(batches);
  }

  /** All tests, from the least depth to the greatest, prompts first. */
  public List<BenchCase> cases() {
    List<BenchCase> cases = new ArrayList<>();
    for (int depth : depths.stream().distinct().sorted().toList()) {
      for (int prompt : prompts) {
        if (prompt > 0) {
          cases.add(new BenchCase(prompt, 0, depth, 1));
        }
      }
      for (int gen : gens) {
        for (int batch : batches) {
          if (gen > 0) {
            cases.add(new BenchCase(0, gen, depth, batch));
          }
        }
      }
    }
    return cases.stream().distinct().toList();
  }

  /** Those that a context of so many tokens has room for. */
  public List<BenchCase> cases(int context) {
    return cases().stream().filter(test -> test.context() <= context).toList();
  }

  /** Which tests a context has no room for, in words; empty where it has room for all. */
  public Optional<String> leftOut(int context) {
    String labels =
        cases().stream()
            .filter(test -> test.context() > context)
            .map(BenchCase::label)
            .distinct()
            .collect(Collectors.joining(", "));
    return labels.isEmpty()
        ? Optional.empty()
        : Optional.of("a context of %d tokens, no room for %s".formatted(context, labels));
  }
}
