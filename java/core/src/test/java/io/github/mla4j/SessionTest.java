package io.github.mla4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.mla4j.chat.ChatMessage;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.EnumSource.Mode;

/** What a session does, on a small real model. */
class SessionTest {
  private static final String PROMPT = "Once upon a time";
  private static final String STORY =
      ", there was a little girl named Lily. She loved to play outside in the park. One day, she saw"
          + " a big, red ball.";

  private Model model;
  private Session session;

  @BeforeEach
  void open() {
    model = Model.load(SharedFiles.stories());
    session = model.newSession(s -> s.threads(1));
  }

  @AfterEach
  void close() {
    if (model != null) {
      session.close();
      model.close();
    }
  }

  private int[] ids(String text) {
    return model.tokenizer().encode(text);
  }

  private String greedy(Consumer<GenerateOptions> more) {
    session.rewind(0);
    try (TokenStream stream = session.generate(PROMPT, more.andThen(GenerateOptions::greedy))) {
      return stream.text();
    }
  }

  @Test
  void theGreedyStory() {
    StringBuilder text = new StringBuilder();
    int tokens = 0;
    TokenStream stream = session.generate(PROMPT);
    for (Token token : stream) {
      text.append(token.text());
      assertTrue(token.logProbability() <= 0 && token.logProbability() > -20);
      tokens++;
      if (text.length() >= STORY.length()) {
        break;
      }
    }
    assertEquals(STORY, text.toString());
    assertFalse(stream.isFinished());
    Timings timings = stream.timings();
    assertEquals(ids(PROMPT).length, timings.promptTokens());
    assertEquals(tokens, timings.generatedTokens());
    assertTrue(timings.promptTokensPerSecond() > 0);
    assertTrue(timings.generatedTokensPerSecond() > 0);
  }

  @Test
  void infoIsThatOfTheFile() {
    ModelInfo info = model.info();
    assertEquals("llama", info.architecture());
    assertEquals("TinyStories 260K", info.name());
    assertEquals(5, info.layers());
    assertEquals(64, info.embeddingLength());
    assertEquals(512, info.vocabularySize());
    assertEquals(512, info.contextLength());
    assertEquals(8, info.heads());
    assertEquals(4, info.kvHeads());
    assertEquals(8, info.headLength());
    assertFalse(info.converted());
    assertTrue(info.parameters() > 200_000 && info.parameters() < 400_000);
    // Four heads of keys and values of 8, five layers.
    assertEquals(2 * 4 * 8 * 5 * 4, model.cacheBytesPerToken(CacheOptions.of(CacheType.F32)), 1e-9);
    assertTrue(
        model.cacheBytesPerToken(CacheOptions.of(CacheType.INT8))
            < model.cacheBytesPerToken(CacheOptions.defaults()));
  }

  @ParameterizedTest
  @EnumSource(
      value = CacheType.class,
      names = {"F32", "F16", "INT8"})
  void everyCacheTellsTheStory(CacheType type) {
    try (Session other = model.newSession(s -> s.cache(type).threads(1));
        TokenStream stream = other.generate(PROMPT, g -> g.maxTokens(16))) {
      assertTrue(stream.text().startsWith(", there was a little girl named Lily"));
    }
  }

  @ParameterizedTest
  @EnumSource(value = Prefill.class, mode = Mode.EXCLUDE)
  void everyPrefillGivesTheSameLogits(Prefill prefill) {
    int[] tokens = ids(PROMPT + STORY);
    float[] expected = session.logitsAll(tokens)[tokens.length - 1];
    try (Session other = model.newSession(s -> s.prefill(prefill).threads(2))) {
      other.append(tokens);
      assertArrayEquals(expected, read(other.logits()), 2e-3f);
    }
  }

  @Test
  void finishReasons() {
    try (TokenStream stream = session.generate(PROMPT, g -> g.maxTokens(3))) {
      assertThrows(IllegalStateException.class, stream::finishReason);
      int count = 0;
      for (Token token : stream) {
        assertFalse(token.text().isEmpty());
        count++;
      }
      assertEquals(3, count);
      assertEquals(FinishReason.LENGTH, stream.finishReason());
      assertThrows(NoSuchElementException.class, stream::next);
    }
    session.rewind(0);
    try (TokenStream stream = session.generate(PROMPT, g -> g.maxTokens(0))) {
      assertFalse(stream.hasNext());
      assertEquals(FinishReason.LENGTH, stream.finishReason());
    }
    session.rewind(0);
    int comma = ids(PROMPT + ",")[ids(PROMPT).length];
    try (TokenStream stream = session.generate(PROMPT, g -> g.stopTokens(comma))) {
      assertEquals("", stream.text());
      assertEquals(FinishReason.STOP, stream.finishReason());
    }
    session.rewind(0);
    TokenStream early = session.generate(PROMPT);
    early.next();
    early.close();
    assertEquals(FinishReason.CANCELLED, early.finishReason());
  }

  @Test
  void contextFullIsAFinishReason() {
    int prompt = ids(PROMPT).length;
    try (Session small = model.newSession(s -> s.contextLength(prompt + 5).threads(1));
        TokenStream stream = small.generate(PROMPT)) {
      String text = stream.text();
      assertEquals(FinishReason.CONTEXT_FULL, stream.finishReason());
      assertTrue(STORY.startsWith(text), text);
      // The sixth token was chosen, but there is no room to go on from it.
      assertEquals(6, stream.timings().generatedTokens());
      assertEquals(prompt + 5, small.length());
      // A prompt that does not fit is an error, and changes nothing.
      small.rewind(2);
      assertThrows(ContextFullException.class, () -> small.append(new int[prompt + 4]));
      assertThrows(ContextFullException.class, () -> small.generate(PROMPT + STORY));
      assertEquals(2, small.length());
    }
  }

  @Test
  void stopTextsEndItAndStayAway() {
    assertEquals(", there was a ", greedy(g -> g.stop("little", "girl")));
    assertEquals(", there was a little girl named Lily", greedy(g -> g.stop(". She loved")));
    assertEquals("", greedy(g -> g.stop(",")));
    assertEquals(STORY.substring(0, 20), greedy(g -> g.maxTokens(40)).substring(0, 20));
  }

  @Test
  void whatWasGeneratedIsPartOfTheSequence() {
    String whole = greedy(g -> g.maxTokens(20));
    String first = greedy(g -> g.maxTokens(8));
    assertEquals(whole, first + session.generate(new int[0], g -> g.maxTokens(12)).text());

    // With a prompt after it, as if all had been given at once.
    session.rewind(0);
    session.generate(PROMPT, g -> g.maxTokens(8)).text();
    int[] more = {300, 301};
    String continued = session.generate(more, g -> g.maxTokens(4)).text();
    int length = session.length();
    assertEquals(ids(PROMPT).length + 8 + 2 + 3, length);
    List<Integer> all = new ArrayList<>();
    session.rewind(0);
    for (int id : ids(PROMPT)) {
      all.add(id);
    }
    for (Token token : session.generate(PROMPT, g -> g.maxTokens(8))) {
      all.add(token.id());
    }
    all.add(300);
    all.add(301);
    session.rewind(0);
    int[] together = all.stream().mapToInt(i -> i).toArray();
    assertEquals(continued, session.generate(together, g -> g.maxTokens(4)).text());
  }

  @Test
  void samplerOptions() {
    String greedy = greedy(g -> g.maxTokens(20));
    Consumer<GenerateOptions> wild = g -> g.temperature(1.5f).maxTokens(20);
    String one = sampled(wild.andThen(g -> g.seed(1)));
    assertEquals(one, sampled(wild.andThen(g -> g.seed(1))));
    assertNotEquals(one, sampled(wild.andThen(g -> g.seed(2))));
    assertEquals(greedy, sampled(wild.andThen(g -> g.topK(1))));
    assertEquals(greedy, sampled(wild.andThen(g -> g.topP(1e-6f))));
    assertEquals(greedy, sampled(wild.andThen(g -> g.minP(1))));
    // A banned token never comes, a favoured one always.
    int comma = ids(PROMPT + ",")[ids(PROMPT).length];
    assertFalse(
        greedy(g -> g.maxTokens(40).logitBias(Map.of(comma, Float.NEGATIVE_INFINITY)))
            .contains(","));
    assertEquals(",,,", greedy(g -> g.maxTokens(3).logitBias(Map.of(comma, 1000f))));
    // The penalty sees the whole window.
    assertNotEquals(
        ",,,",
        greedy(
            g ->
                g.maxTokens(3)
                    .logitBias(Map.of(comma, 30f))
                    .repetitionPenalty(100)
                    .repetitionWindow(-1)));
  }

  private String sampled(Consumer<GenerateOptions> options) {
    session.rewind(0);
    return session.generate(PROMPT, options).text();
  }

  @Test
  void optionsOutOfRangeAreNamed() {
    for (Consumer<GenerateOptions> bad :
        List.<Consumer<GenerateOptions>>of(
            g -> g.temperature(-1),
            g -> g.temperature(Float.NaN),
            g -> g.topP(1.5f),
            g -> g.topK(-1),
            g -> g.minP(-0.1f),
            g -> g.repetitionPenalty(0),
            g -> g.repetitionWindow(-2),
            g -> g.maxTokens(-1),
            g -> g.stop(""))) {
      assertThrows(IllegalArgumentException.class, () -> session.generate(PROMPT, bad));
    }
    assertThrows(IllegalArgumentException.class, () -> model.newSession(s -> s.threads(0)));
    assertThrows(MlaException.class, () -> model.newSession(s -> s.contextLength(1 << 20)));
    MlaException e =
        assertThrows(
            MlaException.class, () -> session.generate(PROMPT, g -> g.logitBias(Map.of(512, 1f))));
    assertEquals(Status.INVALID_ARGUMENT, e.status());
    assertThrows(MlaException.class, () -> session.append(512));
    assertThrows(MlaException.class, () -> session.append(-1));
    assertThrows(MlaException.class, () -> session.append());
    assertEquals(0, session.length());
    session.append(1); // and it still works
  }

  @Test
  void logitsAndScoresAgree() {
    int[] tokens = ids(PROMPT + STORY);
    float[][] all = session.logitsAll(tokens);
    float[] last = read(session.logits());
    assertArrayEquals(all[tokens.length - 1], last);
    assertEquals(tokens.length, session.length());

    session.rewind(0);
    float[] scores = session.score(tokens);
    assertEquals(tokens.length - 1, scores.length);
    for (int i = 0; i < scores.length; i++) {
      assertEquals(logSoftmax(all[i], tokens[i + 1]), scores[i], 1e-3, "token " + i);
    }

    session.rewind(3);
    assertThrows(MlaException.class, () -> session.logits());
    session.append(Arrays.copyOfRange(tokens, 3, tokens.length));
    FloatBuffer own = session.logits();
    assertTrue(own.isDirect());
    assertArrayEquals(last, read(own), 1e-3f);
    own.put(0, Float.NaN).position(own.limit());
    assertArrayEquals(last, read(session.logits()), 1e-3f, "whatever was read before");

    FloatBuffer mine =
        ByteBuffer.allocateDirect(4 * 600).order(ByteOrder.nativeOrder()).asFloatBuffer();
    mine.position(10);
    session.logits(mine);
    assertEquals(522, mine.position());
    assertEquals(own.get(0), mine.get(10));
    assertThrows(MlaException.class, () -> session.logits(mine)); // too little room
    assertThrows(IllegalArgumentException.class, () -> session.logits(FloatBuffer.allocate(512)));
  }

  @Test
  void memoryIsCounted() {
    session.append(ids(PROMPT));
    SessionMemory memory = session.memory();
    assertTrue(memory.cacheBytes() > 0 && memory.cacheBytes() < 1 << 20, memory.toString());
    assertTrue(memory.workspaceBytes() > 0, memory.toString());
  }

  @Test
  void aModelWithoutTemplateSaysSo() {
    MlaException e =
        assertThrows(MlaException.class, () -> session.generate(List.of(ChatMessage.user("Hi"))));
    assertEquals(Status.UNSUPPORTED, e.status());
    assertTrue(e.getMessage().contains("chat template"), e.getMessage());
  }

  private static float[] read(FloatBuffer buffer) {
    float[] values = new float[buffer.remaining()];
    buffer.duplicate().get(values);
    return values;
  }

  private static double logSoftmax(float[] logits, int token) {
    double max = Double.NEGATIVE_INFINITY;
    for (float logit : logits) {
      max = Math.max(max, logit);
    }
    double sum = 0;
    for (float logit : logits) {
      sum += Math.exp(logit - max);
    }
    return logits[token] - max - Math.log(sum);
  }
}
