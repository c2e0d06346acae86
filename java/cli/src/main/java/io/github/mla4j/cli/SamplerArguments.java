package io.github.mla4j.cli;

import io.github.mla4j.GenerateOptions;
import java.util.concurrent.ThreadLocalRandom;
import picocli.CommandLine.Option;

/** How many tokens, and how each is chosen; values out of range are refused by the library. */
final class SamplerArguments {
  @Option(
      names = "-n",
      paramLabel = "N",
      description =
          "Tokens to generate at most (default: until the model ends or the context is full).")
  private Integer maxTokens;

  @Option(
      names = "--temp",
      paramLabel = "T",
      description = "Temperature; 0 takes the likeliest token (default: ${DEFAULT-VALUE}).")
  private float temperature;

  @Option(names = "--top-k", paramLabel = "K", description = "Only the K likeliest tokens; 0: all.")
  private int topK;

  @Option(
      names = "--top-p",
      paramLabel = "P",
      description = "Only the likeliest tokens that together have probability P; 1: all.")
  private float topP = 1;

  @Option(
      names = "--min-p",
      paramLabel = "P",
      description = "Only tokens with P of the likeliest one's probability; 0: all.")
  private float minP;

  @Option(
      names = "--repeat-penalty",
      paramLabel = "R",
      description = "Above 1: makes tokens that occurred less likely.")
  private float repetitionPenalty = 1;

  @Option(
      names = "--seed",
      paramLabel = "S",
      description = "The same seed gives the same tokens (default: a new one each time).")
  private Long seed;

  void applyTo(GenerateOptions options) {
    options
        .temperature(temperature)
        .topK(topK)
        .topP(topP)
        .minP(minP)
        .repetitionPenalty(repetitionPenalty)
        .seed(seed == null ? ThreadLocalRandom.current().nextLong() : seed);
    if (maxTokens != null) {
      options.maxTokens(maxTokens);
    }
  }
}
