package io.github.mla4j.benchmarks.peers;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Predicate;

/** Tokens per second of every configuration and test, round by round. */
final class Results {
  private final Map<Configuration, Map<String, List<Double>>> samples = new LinkedHashMap<>();

  /** A configuration's median at a test. */
  record Best(Configuration configuration, double tokensPerSecond) {}

  /** Rows are told in the order in which configurations are added first. */
  Results(List<Configuration> configurations) {
    configurations.forEach(one -> samples.put(one, new LinkedHashMap<>()));
  }

  void add(Configuration configuration, String test, double tokensPerSecond) {
    samples.get(configuration).computeIfAbsent(test, t -> new ArrayList<>()).add(tokensPerSecond);
  }

  /** Those with any result. */
  List<Configuration> measured() {
    return samples.keySet().stream().filter(one -> !samples.get(one).isEmpty()).toList();
  }

  List<Double> samples(Configuration configuration, String test) {
    return List.copyOf(samples.getOrDefault(configuration, Map.of()).getOrDefault(test, List.of()));
  }

  Optional<Spread> spread(Configuration configuration, String test) {
    List<Double> values = samples(configuration, test);
    return values.isEmpty() ? Optional.empty() : Optional.of(Spread.of(values));
  }

  /** The fastest at a test of those that are asked for, by the median. */
  Optional<Best> fastest(Predicate<Configuration> asked, String test) {
    return measured().stream()
        .filter(asked)
        .flatMap(one -> spread(one, test).map(s -> new Best(one, s.median())).stream())
        .max(Comparator.comparingDouble(Best::tokensPerSecond));
  }
}
