package io.github.mla4j.chat;

import com.hubspot.jinjava.Jinjava;
import com.hubspot.jinjava.JinjavaConfig;
import com.hubspot.jinjava.LegacyOverrides;
import com.hubspot.jinjava.interpret.RenderResult;
import com.hubspot.jinjava.interpret.TemplateError;
import io.github.mla4j.MlaException;
import io.github.mla4j.Status;
import io.github.mla4j.gguf.Gguf;
import io.github.mla4j.tokenizer.Tokenizer;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * A model's chat template, {@code tokenizer.chat_template}: Jinja in the dialect of Hugging Face's
 * transformers. Immutable: any thread.
 */
public final class ChatTemplate {
  /** Built at the first rendering: it takes a while, and many models are never chatted with. */
  private static final class Engine {
    static final Jinjava JINJA = jinja();
  }

  private final String source;
  private final String bos;
  private final String eos;

  /**
   * @param source the template
   * @param bos what {@code bos_token} stands for in it
   * @param eos what {@code eos_token} stands for in it
   */
  public ChatTemplate(String source, String bos, String eos) {
    // Jinja drops one newline at the end of a template.
    this.source = source.endsWith("\n") ? source.substring(0, source.length() - 1) : source;
    this.bos = bos;
    this.eos = eos;
  }

  /** The template that a file carries. */
  public static Optional<ChatTemplate> read(Gguf file) {
    return file.string("tokenizer.chat_template")
        .map(
            source ->
                new ChatTemplate(
                    source,
                    spelling(file, "tokenizer.ggml.bos_token_id"),
                    spelling(file, "tokenizer.ggml.eos_token_id")));
  }

  /**
   * The conversation as text, ending where the model's next turn begins.
   *
   * @throws MlaException INVALID_ARGUMENT with the template's own words where it refuses the
   *     conversation, or where it cannot be rendered
   */
  public String render(List<ChatMessage> conversation) {
    Map<String, Object> bindings = new HashMap<>();
    bindings.put("messages", conversation.stream().map(ChatTemplate::asMap).toList());
    bindings.put("add_generation_prompt", true);
    bindings.put("bos_token", bos);
    bindings.put("eos_token", eos);
    RenderResult result = Engine.JINJA.renderForResult(source, bindings);
    for (TemplateError error : result.getErrors()) {
      if (error.getSeverity() == TemplateError.ErrorType.FATAL) {
        throw new MlaException(
            Status.INVALID_ARGUMENT, "the chat template failed: " + reason(error));
      }
    }
    return result.getOutput();
  }

  /**
   * The conversation as token ids, beginning with BOS where the vocabulary asks for it and the
   * template does not write it. Special tokens in the messages are found, too.
   */
  public int[] encode(Tokenizer tokenizer, List<ChatMessage> conversation) {
    String text = render(conversation);
    OptionalInt begin = tokenizer.bos();
    boolean written = begin.isPresent() && !bos.isEmpty() && text.startsWith(bos);
    int[] ids = tokenizer.encode(text, false, true);
    if (written || !tokenizer.vocabulary().addsBos()) {
      return ids;
    }
    int[] withBos = new int[ids.length + 1];
    withBos[0] = begin.getAsInt();
    System.arraycopy(ids, 0, withBos, 1, ids.length);
    return withBos;
  }

  /** The words at the bottom of it, as of raise_exception. */
  private static String reason(TemplateError error) {
    String message = error.getMessage();
    for (Throwable t = error.getException(); t != null; t = t.getCause()) {
      if (t.getCause() == null && t.getMessage() != null) {
        message = t.getMessage();
      }
    }
    return message + " (line " + error.getLineno() + ")";
  }

  private static Map<String, Object> asMap(ChatMessage message) {
    return Map.of("role", message.role(), "content", message.content());
  }

  private static String spelling(Gguf file, String key) {
    OptionalInt id =
        file.integer(key).stream().mapToInt(Math::toIntExact).filter(i -> i >= 0).findFirst();
    return id.isEmpty()
        ? ""
        : file.stringTable("tokenizer.ggml.tokens")
            .filter(tokens -> id.getAsInt() < tokens.size())
            .map(tokens -> tokens.get(id.getAsInt()))
            .orElse("");
  }

  private static Jinjava jinja() {
    JinjavaConfig config =
        JinjavaConfig.newBuilder()
            .withTrimBlocks(true)
            .withLstripBlocks(true)
            .withNestedInterpretationEnabled(false) // braces in a message are text
            .withElResolver(PythonStrings.inFrontOfDefault())
            .withLegacyOverrides(
                LegacyOverrides.newBuilder()
                    .withEvaluateMapKeys(true)
                    .withIterateOverMapKeys(true)
                    .withUsePyishObjectMapper(true)
                    .withUseNaturalOperatorPrecedence(true)
                    .withParseWhitespaceControlStrictly(true)
                    .withAllowAdjacentTextNodes(true)
                    .withUseTrimmingForNotesAndExpressions(true)
                    .withKeepNullableLoopValues(true)
                    .build())
            .build();
    Jinjava jinja = new Jinjava(config);
    TemplateFunctions.register(jinja.getGlobalContext());
    return jinja;
  }
}
