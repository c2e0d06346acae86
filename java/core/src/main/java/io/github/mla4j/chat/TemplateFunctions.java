package io.github.mla4j.chat;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.util.DefaultIndenter;
import com.fasterxml.jackson.core.util.DefaultPrettyPrinter;
import com.fasterxml.jackson.core.util.MinimalPrettyPrinter;
import com.fasterxml.jackson.core.util.Separators;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.hubspot.jinjava.interpret.Context;
import com.hubspot.jinjava.interpret.InterpretException;
import com.hubspot.jinjava.interpret.JinjavaInterpreter;
import com.hubspot.jinjava.lib.filter.AdvancedFilter;
import com.hubspot.jinjava.lib.fn.ELFunctionDefinition;
import java.time.LocalDateTime;
import java.time.format.DateTimeFormatter;
import java.util.Locale;
import java.util.Map;

/** What Hugging Face adds to Jinja for chat templates. */
public final class TemplateFunctions {
  private static final ObjectMapper MAPPER = new ObjectMapper();

  private TemplateFunctions() {}

  static void register(Context context) {
    context.registerFunction(
        new ELFunctionDefinition(
            "", "raise_exception", TemplateFunctions.class, "raise", String.class));
    context.registerFunction(
        new ELFunctionDefinition("", "strftime_now", TemplateFunctions.class, "now", String.class));
    context.registerFilter(new ToJson());
  }

  /** {@code raise_exception(message)}: the template refuses the conversation. */
  public static Object raise(String message) {
    throw new InterpretException(message);
  }

  /** {@code strftime_now(format)}: the local time in strftime's format. */
  public static String now(String format) {
    return strftime(format, LocalDateTime.now());
  }

  static String strftime(String format, LocalDateTime time) {
    StringBuilder out = new StringBuilder();
    for (int i = 0; i < format.length(); i++) {
      char c = format.charAt(i);
      if (c != '%' || i + 1 == format.length()) {
        out.append(c);
        continue;
      }
      char directive = format.charAt(++i);
      boolean unpadded = directive == '-' && i + 1 < format.length();
      if (unpadded) {
        directive = format.charAt(++i);
      }
      String value = field(directive, time);
      out.append(
          unpadded && value.startsWith("0") && value.length() > 1 ? value.substring(1) : value);
    }
    return out.toString();
  }

  private static String field(char directive, LocalDateTime time) {
    String pattern =
        switch (directive) {
          case 'Y' -> "yyyy";
          case 'y' -> "yy";
          case 'm' -> "MM";
          case 'd' -> "dd";
          case 'B' -> "MMMM";
          case 'b' -> "MMM";
          case 'A' -> "EEEE";
          case 'a' -> "EEE";
          case 'H' -> "HH";
          case 'I' -> "hh";
          case 'M' -> "mm";
          case 'S' -> "ss";
          case 'p' -> "a";
          case 'j' -> "DDD";
          default -> "";
        };
    if (pattern.isEmpty()) {
      return directive == '%' ? "%" : "%" + directive;
    }
    return DateTimeFormatter.ofPattern(pattern, Locale.ENGLISH).format(time);
  }

  /** {@code tojson(indent)}: JSON as Python's json.dumps spaces it. */
  private static final class ToJson implements AdvancedFilter {
    private static final Separators SEPARATORS =
        Separators.createDefaultInstance()
            .withObjectFieldValueSpacing(Separators.Spacing.AFTER)
            .withObjectEntrySpacing(Separators.Spacing.NONE)
            .withObjectEmptySeparator("")
            .withArrayEmptySeparator("");

    @Override
    public String getName() {
      return "tojson";
    }

    @Override
    public Object filter(
        Object value,
        JinjavaInterpreter interpreter,
        Object[] arguments,
        Map<String, Object> named) {
      Object indent =
          arguments.length > 0 ? arguments[0] : named.getOrDefault("indent", Integer.valueOf(0));
      try {
        return indent instanceof Number width && width.intValue() > 0
            ? MAPPER.writer(indented(width.intValue())).writeValueAsString(value)
            : MAPPER.writer(new OneLine()).writeValueAsString(value);
      } catch (JsonProcessingException e) {
        throw new InterpretException("tojson: " + e.getOriginalMessage(), e);
      }
    }

    private static DefaultPrettyPrinter indented(int width) {
      DefaultIndenter indenter = new DefaultIndenter(" ".repeat(width), "\n");
      DefaultPrettyPrinter printer = new DefaultPrettyPrinter(SEPARATORS);
      printer.indentObjectsWith(indenter);
      printer.indentArraysWith(indenter);
      return printer;
    }
  }

  /** One line with a space after commas and colons. */
  private static final class OneLine extends MinimalPrettyPrinter {
    private static final long serialVersionUID = 1;

    @Override
    public void writeObjectFieldValueSeparator(com.fasterxml.jackson.core.JsonGenerator json)
        throws java.io.IOException {
      json.writeRaw(": ");
    }

    @Override
    public void writeObjectEntrySeparator(com.fasterxml.jackson.core.JsonGenerator json)
        throws java.io.IOException {
      json.writeRaw(", ");
    }

    @Override
    public void writeArrayValueSeparator(com.fasterxml.jackson.core.JsonGenerator json)
        throws java.io.IOException {
      json.writeRaw(", ");
    }
  }
}
