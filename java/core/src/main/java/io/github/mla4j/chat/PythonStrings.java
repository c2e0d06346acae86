package io.github.mla4j.chat;

import com.hubspot.jinjava.el.JinjavaInterpreterResolver;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.regex.Pattern;
import jinjava.javax.el.CompositeELResolver;
import jinjava.javax.el.ELContext;
import jinjava.javax.el.ELResolver;

/** The methods of Python's strings that chat templates call. */
final class PythonStrings extends ELResolver {
  private static final String WHITESPACE = " \t\n\r\u000b\f";

  static ELResolver inFrontOfDefault() {
    CompositeELResolver resolver = new CompositeELResolver();
    resolver.add(new PythonStrings());
    resolver.add(JinjavaInterpreterResolver.DEFAULT_RESOLVER_READ_ONLY);
    return resolver;
  }

  @Override
  public Object invoke(
      ELContext context, Object base, Object method, Class<?>[] types, Object[] arguments) {
    if (!(base instanceof CharSequence)) {
      return null; // not ours: the next resolver's
    }
    String text = base.toString();
    String first = arguments.length > 0 && arguments[0] != null ? arguments[0].toString() : "";
    String set = first.isEmpty() ? WHITESPACE : first;
    Object result =
        switch (method.toString()) {
          case "startswith" -> text.startsWith(first);
          case "endswith" -> text.endsWith(first);
          case "strip" -> strip(text, set, true, true);
          case "lstrip" -> strip(text, set, true, false);
          case "rstrip" -> strip(text, set, false, true);
          case "upper" -> text.toUpperCase(Locale.ROOT);
          case "lower" -> text.toLowerCase(Locale.ROOT);
          case "capitalize" -> capitalize(text);
          case "replace" -> text.replace(first, arguments[1].toString());
          case "split" -> split(text, arguments.length, first);
          case "find" -> text.indexOf(first);
          default -> null;
        };
    if (result != null) {
      context.setPropertyResolved(true);
    }
    return result;
  }

  private static String strip(String text, String set, boolean left, boolean right) {
    int begin = 0;
    int end = text.length();
    while (left && begin < end && set.indexOf(text.charAt(begin)) >= 0) {
      begin++;
    }
    while (right && end > begin && set.indexOf(text.charAt(end - 1)) >= 0) {
      end--;
    }
    return text.substring(begin, end);
  }

  private static String capitalize(String text) {
    return text.isEmpty()
        ? text
        : text.substring(0, 1).toUpperCase(Locale.ROOT)
            + text.substring(1).toLowerCase(Locale.ROOT);
  }

  private static List<String> split(String text, int arguments, String separator) {
    if (arguments > 0 && !separator.isEmpty()) {
      return new ArrayList<>(Arrays.asList(text.split(Pattern.quote(separator), -1)));
    }
    String stripped = strip(text, WHITESPACE, true, true);
    return stripped.isEmpty()
        ? new ArrayList<>()
        : new ArrayList<>(Arrays.asList(stripped.split("\\s+")));
  }

  // Strings have no properties in templates.

  @Override
  public Object getValue(ELContext context, Object base, Object property) {
    return null;
  }

  @Override
  public Class<?> getType(ELContext context, Object base, Object property) {
    return null;
  }

  @Override
  public void setValue(ELContext context, Object base, Object property, Object value) {}

  @Override
  public boolean isReadOnly(ELContext context, Object base, Object property) {
    return true;
  }

  @Override
  public Class<?> getCommonPropertyType(ELContext context, Object base) {
    return Object.class;
  }

  @Override
  public java.util.Iterator<java.beans.FeatureDescriptor> getFeatureDescriptors(
      ELContext context, Object base) {
    return null;
  }
}
