package io.github.mla4j.benchmarks.peers;

import java.util.List;
import java.util.Optional;
import java.util.function.Predicate;

/**
 * How many times as fast as llama.cpp mla4j shall be, whichever build and flags of llama.cpp are
 * the fastest.
 *
 * @param converted whether mla4j runs the conversion
 * @param cache of mla4j
 * @param anyType whether llama.cpp may take its fastest cache type; else f16
 */
record Goal(
    String what, String test, boolean converted, String cache, boolean anyType, double factor) {

  /** How it turned out. */
  record Outcome(Goal goal, Results.Best ours, Results.Best theirs) {
    double ratio() {
      return ours.tokensPerSecond() / theirs.tokensPerSecond();
    }

    boolean isMet() {
      return ratio() >= goal.factor;
    }
  }

  static final List<Goal> ALL =
      List.of(
          prompt(512),
          prompt(4096),
          decode("f16", 0, false, 1.8),
          decode("f16", 4096, false, 2),
          decode("f16", 7680, false, 2),
          decode("int4", 7680, true, 3),
          new Goal(
              "decode, conversion, int4 cache, against the fastest type",
              StepPlan.decodeTest(7680),
              true,
              "int4",
              true,
              5));

  private static Goal prompt(int tokens) {
    return new Goal("prompt, f16 cache", StepPlan.promptTest(tokens), false, "f16", false, 4.5);
  }

  private static Goal decode(String cache, int depth, boolean anyType, double factor) {
    return new Goal(
        "decode, %s cache%s".formatted(cache, anyType ? ", against the fastest type" : ""),
        StepPlan.decodeTest(depth),
        false,
        cache,
        anyType,
        factor);
  }

  /** Empty where one side was not measured. */
  Optional<Outcome> outcome(Results results) {
    Predicate<Configuration> us =
        one ->
            one.peer() == Peer.MLA4J && one.converted() == converted && one.cache().equals(cache);
    Predicate<Configuration> them =
        one ->
            one.peer().family() == Peer.Family.LLAMA_CPP && (anyType || one.cache().equals("f16"));
    return results
        .fastest(us, test)
        .flatMap(
            ours -> results.fastest(them, test).map(theirs -> new Outcome(this, ours, theirs)));
  }

  static List<Outcome> outcomes(Results results) {
    return ALL.stream().flatMap(goal -> goal.outcome(results).stream()).toList();
  }
}
