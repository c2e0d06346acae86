package io.github.mla4j.cli;

import com.fasterxml.jackson.core.JsonGenerator;
import io.github.mla4j.Model;
import io.github.mla4j.Session;
import io.github.mla4j.Timings;
import io.github.mla4j.Token;
import io.github.mla4j.TokenStream;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.ExitCode;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code mla run}: continues a prompt. */
@Command(
    name = "run",
    description = "Continue a prompt; text is written as it comes, a summary to standard error.",
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    sortOptions = false,
    footer = {"", "Ctrl-C stops the text; the exit status is then 130."})
final class RunCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Parameters(paramLabel = "MODEL", description = "A GGUF file or a Hugging Face folder.")
  private Path file;

  @ArgGroup(multiplicity = "1")
  private PromptArguments prompt;

  @Mixin private SamplerArguments sampler;
  @Mixin private SessionArguments options;

  @Option(
      names = "--session",
      paramLabel = "FILE",
      description = {
        "Keep the sequence with its cache in a file: what FILE holds of the prompt, from its",
        "beginning, is not evaluated again, and afterwards FILE holds prompt and text. An empty",
        "prompt goes on where FILE ends. --cache is FILE's own, once there is one."
      })
  private Path sessionFile;

  @Option(names = "--json", description = "Print one JSON object at the end, and no text before.")
  private boolean json;

  @Override
  public Integer call() throws IOException {
    String text = prompt.text();
    PrintWriter out = spec.commandLine().getOut();
    try (Model model = Models.open(file, options.device());
        Session session = open(model);
        Interrupts interrupts = Interrupts.stopping(session::cancel)) {
      interrupts.arm();
      try (TokenStream stream = generate(model, session, text)) {
        if (json) {
          List<Token> tokens = new ArrayList<>();
          stream.forEachRemaining(tokens::add);
          Json.print(out, body -> write(body, tokens, stream));
        } else {
          StreamText.print(stream, out);
          spec.commandLine().getErr().println("mla: " + StreamText.summary(stream));
        }
      }
      interrupts.disarm();
      if (sessionFile != null) {
        session.save(sessionFile);
      }
      return interrupts.happened() ? Interrupts.EXIT_STATUS : ExitCode.OK;
    }
  }

  private Session open(Model model) {
    return sessionFile != null && Files.exists(sessionFile)
        ? options.restore(model, sessionFile)
        : options.open(model);
  }

  private TokenStream generate(Model model, Session session, String text) {
    if (sessionFile == null || (text.isEmpty() && session.length() > 0)) {
      return session.generate(text, sampler::applyTo);
    }
    return session.generateAfter(model.tokenizer().encode(text, true, true), sampler::applyTo);
  }

  private void write(JsonGenerator body, List<Token> tokens, TokenStream stream)
      throws IOException {
    Timings took = stream.timings();
    body.writeStartObject();
    body.writeStringField("model", file.toString());
    body.writeStringField("text", tokens.stream().map(Token::text).collect(Collectors.joining()));
    body.writeArrayFieldStart("tokens");
    for (Token token : tokens) {
      body.writeNumber(token.id());
    }
    body.writeEndArray();
    body.writeArrayFieldStart("log_probabilities");
    for (Token token : tokens) {
      body.writeNumber(token.logProbability());
    }
    body.writeEndArray();
    body.writeStringField("finish_reason", StreamText.finishReason(stream));
    body.writeNumberField("prompt_tokens", took.promptTokens());
    body.writeObjectFieldStart("timings");
    body.writeNumberField("prompt_seconds", took.promptNanos() / 1e9);
    body.writeNumberField("prompt_tokens_per_second", took.promptTokensPerSecond());
    body.writeNumberField("generated_tokens", took.generatedTokens());
    body.writeNumberField("generated_seconds", took.generatedNanos() / 1e9);
    body.writeNumberField("generated_tokens_per_second", took.generatedTokensPerSecond());
    body.writeEndObject();
    body.writeEndObject();
  }
}
