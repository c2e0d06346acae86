package io.github.mla4j.cli;

import io.github.mla4j.Model;
import io.github.mla4j.Session;
import io.github.mla4j.eval.Perplexity;
import io.github.mla4j.tokenizer.Tokenizer;
import java.io.IOException;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.Locale;
import java.util.OptionalInt;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** {@code mla eval ppl}: perplexity of a text. */
@Command(
    name = "ppl",
    description =
        "Perplexity of a text, in consecutive windows that each begin with an empty cache; every "
            + "position of a window after its first counts.",
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    sortOptions = false)
final class EvalPerplexityCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin private EvalArguments arguments;

  @Override
  public Integer call() throws IOException {
    String text = Files.readString(arguments.data());
    try (Model model = arguments.openModel()) {
      int window = arguments.context(model);
      Tokenizer tokenizer = model.tokenizer();
      OptionalInt bos = tokenizer.vocabulary().addsBos() ? tokenizer.bos() : OptionalInt.empty();
      int[] all = tokenizer.encode(text, false, false);
      int windows = arguments.limited(Perplexity.windows(bos, all.length, window));
      long tokens = (long) windows * (window - bos.stream().count());
      int[] ids = Arrays.copyOf(all, (int) Math.min(all.length, tokens));
      int[] done = {0};
      try (Session session = arguments.openSession(model)) {
        Perplexity measured =
            Perplexity.measure(
                session,
                bos,
                ids,
                window,
                soFar ->
                    arguments.tell(
                        ++done[0],
                        windows,
                        String.format(Locale.ROOT, "perplexity %.3f", soFar.value())));
        print(measured, model.cacheBytesPerToken(arguments.cache()));
      }
    }
    return 0;
  }

  private void print(Perplexity measured, double bytesPerToken) throws IOException {
    if (arguments.json()) {
      Json.print(
          spec.commandLine().getOut(),
          json -> {
            json.writeStartObject();
            json.writeNumberField("perplexity", measured.value());
            json.writeNumberField("stderr", measured.standardError());
            json.writeNumberField("tokens", measured.tokens());
            json.writeNumberField("bytes_per_token", bytesPerToken);
            json.writeEndObject();
          });
      return;
    }
    spec.commandLine()
        .getOut()
        .printf(
            Locale.ROOT,
            "perplexity %.4f ± %.4f over %,d tokens, %,.0f bytes cached a token%n",
            measured.value(),
            measured.standardError(),
            measured.tokens(),
            bytesPerToken);
  }
}
