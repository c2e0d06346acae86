package io.github.mla4j;

import io.github.mla4j.bindings.MlaSamplerOptions;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.bytedeco.javacpp.Pointer;

/**
 * What a generation may be told; by default it is greedy and goes on until the model ends it or the
 * context is full. Not thread-safe.
 */
public final class GenerateOptions {
  private int maxTokens = Integer.MAX_VALUE;
  private float temperature;
  private int topK;
  private float topP;
  private float minP;
  private float repetitionPenalty;
  private int repetitionWindow;
  private long seed;
  private final Map<Integer, Float> logitBias = new HashMap<>();
  private final List<String> stops = new ArrayList<>();
  private final Set<Integer> stopTokens = new HashSet<>();

  GenerateOptions() {}

  /** Tokens to generate at most. */
  public GenerateOptions maxTokens(int tokens) {
    maxTokens = (int) require("maxTokens", tokens, tokens >= 0, "0 or more");
    return this;
  }

  /** Divides the logits; 0 is greedy. */
  public GenerateOptions temperature(float value) {
    temperature = (float) require("temperature", value, value >= 0, "0 or more");
    return this;
  }

  /** The most likely token each time: temperature 0. */
  public GenerateOptions greedy() {
    return temperature(0);
  }

  /** Only the k most likely tokens; 0 is off. */
  public GenerateOptions topK(int tokens) {
    topK = (int) require("topK", tokens, tokens >= 0, "0 or more");
    return this;
  }

  /** Only the most likely tokens that together have this probability; 1 is off. */
  public GenerateOptions topP(float probability) {
    topP =
        (float)
            require("topP", probability, probability >= 0 && probability <= 1, "between 0 and 1");
    return this;
  }

  /** Only tokens that have this share of the most likely one's probability; 0 is off. */
  public GenerateOptions minP(float share) {
    minP = (float) require("minP", share, share >= 0 && share <= 1, "between 0 and 1");
    return this;
  }

  /** Makes tokens that occurred less likely, above 1; 1 is off. */
  public GenerateOptions repetitionPenalty(float penalty) {
    repetitionPenalty =
        (float) require("repetitionPenalty", penalty, penalty > 0, "greater than 0");
    return this;
  }

  /** How many of the newest tokens the penalty looks at, the prompt included; -1 is all. */
  public GenerateOptions repetitionWindow(int tokens) {
    repetitionWindow =
        (int) require("repetitionWindow", tokens, tokens == -1 || tokens > 0, "-1, 1 or more");
    return this;
  }

  /** The same seed gives the same tokens. */
  public GenerateOptions seed(long value) {
    seed = value;
    return this;
  }

  /** Added to the logits of tokens; negative infinity bans one. */
  public GenerateOptions logitBias(Map<Integer, Float> bias) {
    logitBias.putAll(bias);
    return this;
  }

  /** Texts that end the generation; they are not part of what is generated. */
  public GenerateOptions stop(String... texts) {
    for (String text : texts) {
      if (text.isEmpty()) {
        throw new IllegalArgumentException("a stop text is empty");
      }
      stops.add(text);
    }
    return this;
  }

  /** Tokens that end the generation, besides the model's own ends. */
  public GenerateOptions stopTokens(int... ids) {
    for (int id : ids) {
      stopTokens.add(id);
    }
    return this;
  }

  int maxTokens() {
    return maxTokens;
  }

  List<String> stops() {
    return stops;
  }

  boolean isStopToken(int id) {
    return !stopTokens.isEmpty() && stopTokens.contains(id);
  }

  int[] biasTokens() {
    return logitBias.keySet().stream().sorted().mapToInt(id -> id).toArray();
  }

  float[] biasValues(int[] tokens) {
    float[] values = new float[tokens.length];
    for (int i = 0; i < tokens.length; i++) {
      values[i] = logitBias.get(tokens[i]);
    }
    return values;
  }

  MlaSamplerOptions toNative() {
    MlaSamplerOptions options = new MlaSamplerOptions();
    Pointer.memset(options, 0, options.sizeof());
    return options
        .struct_size(options.sizeof())
        .temperature(temperature)
        .top_k(topK)
        .top_p(topP)
        .min_p(minP)
        .repetition_penalty(repetitionPenalty)
        .repetition_window(repetitionWindow)
        .seed(seed);
  }

  private static double require(String name, double value, boolean good, String expected) {
    if (!good) {
      String shown = value == Math.rint(value) ? Long.toString((long) value) : "" + value;
      throw new IllegalArgumentException(name + " is " + shown + ", expected " + expected);
    }
    return value;
  }
}
