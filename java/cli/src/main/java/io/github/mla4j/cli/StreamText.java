package io.github.mla4j.cli;

import io.github.mla4j.Timings;
import io.github.mla4j.Token;
import io.github.mla4j.TokenStream;
import java.io.PrintWriter;
import java.util.Locale;
import java.util.function.Consumer;

/** A token stream on its way to a reader. */
final class StreamText {
  private StreamText() {}

  /** Writes text as it comes and ends the line; stops where nobody reads any more. */
  static void print(TokenStream stream, PrintWriter out) {
    print(stream, out, token -> {});
  }

  /** The same, and hands on every token. */
  static void print(TokenStream stream, PrintWriter out, Consumer<Token> also) {
    for (Token token : stream) {
      also.accept(token);
      out.print(token.text());
      if (out.checkError()) { // flushes too
        stream.cancel();
      }
    }
    out.println();
    out.flush();
  }

  /** How long it took and why it ended, in one line; the stream must have ended. */
  static String summary(TokenStream stream) {
    Timings took = stream.timings();
    return String.format(
        Locale.ROOT,
        "%d prompt tokens at %.1f/s, %d tokens at %.1f/s, %s",
        took.promptTokens(),
        took.promptTokensPerSecond(),
        took.generatedTokens(),
        took.generatedTokensPerSecond(),
        finishReason(stream));
  }

  /** The reason as JSON and the summary spell it: stop, length, context_full or cancelled. */
  static String finishReason(TokenStream stream) {
    return stream.finishReason().name().toLowerCase(Locale.ROOT);
  }
}
