package io.github.mla4j.chat;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.github.mla4j.MlaException;
import io.github.mla4j.SharedFiles;
import io.github.mla4j.Status;
import io.github.mla4j.gguf.Gguf;
import java.io.IOException;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ChatTemplateTest {
  private static final List<ChatMessage> TALK =
      List.of(
          ChatMessage.user("  Hi {{ messages }} "),
          ChatMessage.assistant("Hello."),
          ChatMessage.user("Bye"));

  private static String render(String template, List<ChatMessage> conversation) {
    return new ChatTemplate(template, "<s>", "</s>").render(conversation);
  }

  @Test
  void smolLm2sPromptIsTheExpectedOne() throws IOException {
    JsonNode chat =
        new ObjectMapper()
            .readTree(SharedFiles.find("fixtures/smollm2/expected.json").toFile())
            .get("chat");
    List<ChatMessage> conversation = new ArrayList<>();
    chat.get("messages")
        .forEach(
            m ->
                conversation.add(
                    new ChatMessage(m.get("role").asText(), m.get("content").asText())));
    try (Gguf file = Gguf.open(SharedFiles.smollm2())) {
      assertEquals(
          chat.get("rendered").asText(), ChatTemplate.read(file).get().render(conversation));
    }
  }

  @Test
  void aTemplateInLlama3sStyle() {
    String template =
        """
        {{- bos_token }}
        {%- if custom_tools is defined %}
            {%- set tools = custom_tools %}
        {%- endif %}
        {%- if not date_string is defined %}
            {%- if strftime_now is defined %}
                {%- set date_string = strftime_now("%d %b %Y") %}
            {%- else %}
                {%- set date_string = "26 Jul 2024" %}
            {%- endif %}
        {%- endif %}
        {%- if not tools is defined %}
            {%- set tools = none %}
        {%- endif %}

        {#- The system message comes first. #}
        {%- if messages[0]['role'] == 'system' %}
            {%- set system_message = messages[0]['content']|trim %}
            {%- set messages = messages[1:] %}
        {%- else %}
            {%- set system_message = "" %}
        {%- endif %}
        {{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
        {%- if tools is not none %}
            {{- "Environment: ipython\\n" }}
        {%- endif %}
        {{- "Date length: " ~ (date_string|length) ~ "\\n\\n" }}
        {{- system_message }}
        {{- "<|eot_id|>" }}
        {%- for message in messages %}
            {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
                {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
            {%- elif 'tool_calls' in message %}
                {{- raise_exception("no tools") }}
            {%- endif %}
        {%- endfor %}
        {%- if add_generation_prompt %}
            {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
        {%- endif %}
        """;
    List<ChatMessage> withSystem = new ArrayList<>(TALK);
    withSystem.add(0, ChatMessage.system(" Be brief. "));
    assertEquals(
        "<s><|start_header_id|>system<|end_header_id|>\n\nDate length: 11\n\nBe brief.<|eot_id|>"
            + "<|start_header_id|>user<|end_header_id|>\n\nHi {{ messages }}<|eot_id|>"
            + "<|start_header_id|>assistant<|end_header_id|>\n\nHello.<|eot_id|>"
            + "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
            + "<|start_header_id|>assistant<|end_header_id|>\n\n",
        render(template, withSystem));
  }

  @Test
  void aTemplateInQwen25sStyle() {
    String template =
        """
        {%- if tools %}
            {{- '<|im_start|>system\\n' }}
            {%- for tool in tools %}
                {{- tool | tojson }}
            {%- endfor %}
        {%- else %}
            {%- if messages[0]['role'] == 'system' %}
                {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
            {%- else %}
                {{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}
            {%- endif %}
        {%- endif %}
        {%- for message in messages %}
            {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
                {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
            {%- elif message.role == "assistant" %}
                {{- '<|im_start|>' + message.role }}
            {%- endif %}
        {%- endfor %}
        {%- if add_generation_prompt %}
            {{- '<|im_start|>assistant\\n' }}
        {%- endif %}
        """;
    assertEquals(
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
            + "<|im_start|>user\n  Hi {{ messages }} <|im_end|>\n"
            + "<|im_start|>assistant\nHello.<|im_end|>\n"
            + "<|im_start|>user\nBye<|im_end|>\n"
            + "<|im_start|>assistant\n",
        render(template, TALK));
  }

  @Test
  void namespacesLoopControlsAndPythonsStrings() {
    String template =
        """
        {%- set ns = namespace(turns=0, last='') -%}
        {%- for message in messages -%}
          {%- if message.role == 'assistant' -%}{%- continue -%}{%- endif -%}
          {%- set ns.turns = ns.turns + 1 -%}
          {%- set ns.last = message.content.strip() -%}
          {%- if message.content.startswith('Bye') -%}{%- break -%}{%- endif -%}
        {%- endfor -%}
        {{ ns.turns }} {{ ns.last }} {{ 'a</think>b'.split('</think>')[-1].upper() }}
        {{ '\\nx\\n'.lstrip('\\n').rstrip('\\n') }} {{ messages[-1].content }} {{ loop is defined }}
        """;
    assertEquals("2 Bye B\nx Bye false", render(template, TALK).replace("False", "false"));
  }

  /** Blocks on lines of their own leave no trace, as transformers renders them. */
  @Test
  void blocksTakeTheirLineWithThem() {
    assertEquals("begin\nx\nend", render("begin\n  {% if true %}\nx\n  {% endif %}\nend\n", TALK));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '@',
      value = {
        "{{ {'a': [1, 2], 'b': 'ü'} | tojson }} @ {\"a\": [1, 2], \"b\": \"ü\"}",
        "{{ 7 // 2 }} {{ 7 % 4 }} {{ 2 * 3 + 1 }} @ 3 3 7",
        "{{ 'x' if messages | length > 1 else 'y' }} @ x",
        "{{ messages[0].content is string }} @ true",
        "{{ messages | map(attribute='role') | join(', ') }} @ user, assistant, user",
        "{{ (messages | selectattr('role', 'equalto', 'user') | list) | length }} @ 2"
      })
  void expressions(String template, String expected) {
    assertEquals(expected, render(template, TALK));
  }

  @Test
  void whatTheTemplateRefusesIsAnErrorInItsWords() {
    MlaException e =
        assertThrows(
            MlaException.class,
            () -> render("{{ raise_exception('roles must alternate') }}", TALK));
    assertEquals(Status.INVALID_ARGUMENT, e.status());
    assertTrue(e.getMessage().contains("roles must alternate"), e.getMessage());
    assertThrows(MlaException.class, () -> render("{% if %}", TALK));
    assertThrows(MlaException.class, () -> render("{{ no_such_function('x') }}", TALK));
  }

  @Test
  void timesAsStrftimeWritesThem() {
    LocalDateTime time = LocalDateTime.of(2026, 3, 4, 15, 6, 7);
    assertEquals("04 Mar 2026", TemplateFunctions.strftime("%d %b %Y", time));
    assertEquals(
        "Wednesday, 4 March 26 03:06:07 PM 100%",
        TemplateFunctions.strftime("%A, %-d %B %y %I:%M:%S %p 100%%", time));
  }
}
