package io.github.mla4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.github.mla4j.chat.ChatMessage;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** A real chat model against an independent implementation's answers. */
class SmolLm2Test {
  private static JsonNode expected;
  private static Model model;

  @BeforeAll
  static void load() throws IOException {
    expected =
        new ObjectMapper().readTree(SharedFiles.find("fixtures/smollm2/expected.json").toFile());
    model = Model.load(SharedFiles.smollm2());
  }

  @AfterAll
  static void close() {
    if (model != null) {
      model.close();
    }
  }

  @Test
  void theGreedyAnswer() {
    JsonNode chat = expected.get("chat");
    List<ChatMessage> conversation = new ArrayList<>();
    for (JsonNode message : chat.get("messages")) {
      conversation.add(
          new ChatMessage(message.get("role").asText(), message.get("content").asText()));
    }
    assertArrayEquals(
        ints(chat.get("prompt_ids")),
        model.chatTemplate().get().encode(model.tokenizer(), conversation));
    try (Session session = model.newSession()) {
      List<Integer> ids = new ArrayList<>();
      StringBuilder text = new StringBuilder();
      TokenStream stream = session.generate(conversation, g -> g.maxTokens(40));
      for (Token token : stream) {
        ids.add(token.id());
        text.append(token.text());
      }
      int[] answer = ints(chat.get("greedy_ids"));
      int end = answer.length - 1; // <|im_end|>, which ends the stream
      assertEquals(IntStream.of(answer).limit(end).boxed().toList(), ids);
      assertEquals(chat.get("greedy_text").asText().replace("<|im_end|>", ""), text.toString());
      assertEquals(FinishReason.STOP, stream.finishReason());

      // The next turn evaluates only what is new, and gives what a fresh session gives.
      conversation.add(ChatMessage.assistant(text.toString()));
      conversation.add(ChatMessage.user("And mixed?"));
      TokenStream next = session.generate(conversation, g -> g.maxTokens(8));
      String continued = next.text();
      assertTrue(next.timings().promptTokens() < 20, next.timings().toString());
      try (Session fresh = model.newSession()) {
        assertEquals(continued, fresh.generate(conversation, g -> g.maxTokens(8)).text());
      }
    }
  }

  @Test
  void theScoresOfAPassage() {
    double[] differences = differencesFromExpected(Activations.FINE);
    assertTrue(differences[differences.length - 1] < 0.05, Arrays.toString(differences));
    assertTrue(mean(differences) < 0.01, "mean difference " + mean(differences));
  }

  /** A rare token's may be farther off than any bound that says something of the others. */
  @Test
  void theScoresOfAPassageByMixedActivations() {
    double[] differences = differencesFromExpected(Activations.MIXED);
    assertTrue(differences[differences.length * 99 / 100] < 0.2, Arrays.toString(differences));
    assertTrue(mean(differences) < 0.03, "mean difference " + mean(differences));
  }

  /** Magnitudes of log-probabilities' differences, ascending. */
  private static double[] differencesFromExpected(Activations activations) {
    JsonNode passage = expected.get("passage");
    JsonNode logProbabilities = passage.get("next_token_logprob");
    try (Session session = model.newSession(s -> s.activations(activations))) {
      float[] scores = session.score(ints(passage.get("ids")));
      assertEquals(logProbabilities.size(), scores.length);
      return IntStream.range(0, scores.length)
          .mapToDouble(i -> Math.abs(logProbabilities.get(i).asDouble() - scores[i]))
          .sorted()
          .toArray();
    }
  }

  private static double mean(double[] values) {
    return Arrays.stream(values).average().orElseThrow();
  }

  private static int[] ints(JsonNode array) {
    return IntStream.range(0, array.size()).map(i -> array.get(i).asInt()).toArray();
  }
}
