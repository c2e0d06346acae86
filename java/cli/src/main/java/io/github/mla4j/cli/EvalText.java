package io.github.mla4j.cli;

import io.github.mla4j.Model;
import io.github.mla4j.eval.TextWindows;
import java.io.IOException;
import java.nio.file.Path;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** The text that perplexity and its kin are measured on, in windows. */
final class EvalText {
  @Mixin private EvalArguments arguments;

  @Option(
      names = "--data",
      required = true,
      paramLabel = "FILE",
      description = "UTF-8 text to measure on.")
  private Path file;

  @Option(
      names = "--ctx",
      paramLabel = "N",
      description = "Tokens of a window (default: 1024, or the model's context if that is less).")
  private Integer context;

  @Option(
      names = "--limit",
      paramLabel = "N",
      description = "Measure the first N windows only (default: all).")
  private Integer limit;

  EvalArguments arguments() {
    return arguments;
  }

  /** The text itself, after a look at the options that need no model. */
  String read() throws IOException {
    arguments.requireAtLeast("--ctx", context, 2);
    arguments.requireAtLeast("--limit", limit, 1);
    return PromptArguments.readText(file);
  }

  /** Tokens of a window, for a model. */
  int window(Model model, String owner) {
    return arguments.context(context, 2, model, owner);
  }

  /** The windows of the text that are measured. */
  TextWindows windows(Model model, String text, int window) throws IOException {
    TextWindows all = TextWindows.of(model.tokenizer(), text, window);
    if (all.count() == 0) {
      throw new IOException(file + ": too short to predict a token of it");
    }
    return limit == null ? all : all.first(limit);
  }
}
