package io.github.mla4j.benchmarks.peers;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/**
 * The steps that measure prompts and single tokens at several depths, evaluating nothing twice: a
 * prompt is at once the filling for the depths beyond it.
 *
 * @param prompts lengths of prompts, each at the beginning
 * @param gen tokens that come singly
 * @param depths tokens in the cache before those
 */
record StepPlan(List<Integer> prompts, int gen, List<Integer> depths) {
  private static final int WARM_PROMPT = 64;
  private static final int WARM_TOKENS = 8;

  StepPlan {
    prompts = prompts.stream().distinct().sorted().toList();
    depths = depths.stream().distinct().sorted().toList();
  }

  static String promptTest(int tokens) {
    return "pp" + tokens;
  }

  static String decodeTest(int depth) {
    return "tg @ " + depth;
  }

  /** The tests' names, in the order of the report's columns. */
  List<String> tests() {
    return Stream.concat(
            prompts.stream().map(StepPlan::promptTest), depths.stream().map(StepPlan::decodeTest))
        .toList();
  }

  /** Tokens that a test evaluates. */
  int tokens(String test) {
    return prompts.stream().filter(p -> promptTest(p).equals(test)).findFirst().orElse(gen);
  }

  /** Tokens that the cache needs room for. */
  int context() {
    int prompt = prompts.stream().mapToInt(p -> p).max().orElse(0);
    int depth = depths.stream().mapToInt(d -> d + gen).max().orElse(0);
    return Math.max(WARM_PROMPT + WARM_TOKENS, Math.max(prompt, depth));
  }

  List<Step> steps() {
    List<Step> steps = new ArrayList<>();
    steps.add(new Step(0, WARM_PROMPT, false, ""));
    steps.add(new Step(WARM_PROMPT, WARM_TOKENS, true, ""));
    int held = 0;
    for (int prompt : prompts) {
      steps.add(new Step(0, prompt, false, promptTest(prompt)));
      held = prompt;
    }
    int longest = held;
    for (int depth : depths.stream().filter(d -> d >= longest).toList()) {
      if (depth > held) {
        steps.add(new Step(held, depth - held, false, ""));
      }
      steps.add(decode(depth));
      held = depth;
    }
    // What is held only needs to be cut for the others.
    depths.stream()
        .filter(d -> d < longest)
        .sorted((a, b) -> b - a)
        .forEach(depth -> steps.add(decode(depth)));
    return steps;
  }

  private Step decode(int depth) {
    return new Step(depth, gen, true, decodeTest(depth));
  }
}
