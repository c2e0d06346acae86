package io.github.mla4j.cli;

import io.github.mla4j.ContextFullException;
import io.github.mla4j.Model;
import io.github.mla4j.Session;
import io.github.mla4j.TokenStream;
import io.github.mla4j.chat.ChatMessage;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code mla chat}: a conversation, a line a turn. */
@Command(
    name = "chat",
    description =
        "Talk with a chat model: a line is a turn, from a terminal or a pipe, until the input ends.",
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    sortOptions = false,
    footer = {"", "Ctrl-C stops an answer, a second one leaves; so does Ctrl-D."})
final class ChatCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Parameters(paramLabel = "MODEL", description = "A GGUF file with a chat template.")
  private Path file;

  @Option(
      names = {"-s", "--system"},
      paramLabel = "SYSTEM",
      description = "What the model is told about its part (default: what its template says).")
  private String system;

  @Mixin private SamplerArguments sampler;
  @Mixin private SessionArguments options;

  @Override
  public Integer call() throws IOException {
    PrintWriter err = spec.commandLine().getErr();
    BufferedReader lines =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    try (Model model = Models.open(file, options.device());
        Session session = options.open(model);
        Interrupts interrupts = Interrupts.stopping(session::cancel)) {
      if (model.chatTemplate().isEmpty()) {
        throw new IOException(file + ": has no chat template, expected tokenizer.chat_template");
      }
      List<ChatMessage> conversation = new ArrayList<>();
      if (system != null) {
        conversation.add(ChatMessage.system(system));
      }
      while (true) {
        err.print("> ");
        err.flush();
        String line = lines.readLine();
        if (line == null) {
          err.println();
          return 0;
        }
        if (!line.isBlank()) {
          conversation.add(ChatMessage.user(line));
          answer(session, conversation, interrupts);
        }
      }
    }
  }

  /** Writes the answer and adds it to the conversation, of which old turns go where it is long. */
  private void answer(Session session, List<ChatMessage> conversation, Interrupts interrupts) {
    interrupts.arm();
    StringBuilder text = new StringBuilder();
    try (TokenStream stream = begin(session, conversation)) {
      StreamText.print(stream, spec.commandLine().getOut(), token -> text.append(token.text()));
      spec.commandLine().getErr().println("mla: " + StreamText.summary(stream));
    } finally {
      interrupts.disarm();
    }
    conversation.add(ChatMessage.assistant(text.toString()));
  }

  /** The answer's stream; forgets the oldest question and answer as often as it does not fit. */
  private TokenStream begin(Session session, List<ChatMessage> conversation) {
    while (true) {
      try {
        return session.generate(conversation, sampler::applyTo);
      } catch (ContextFullException e) {
        int oldest = system == null ? 0 : 1;
        if (conversation.size() - oldest < 3) {
          throw e;
        }
        conversation.subList(oldest, oldest + 2).clear();
        spec.commandLine()
            .getErr()
            .println("mla: the context is full: the oldest turn is forgotten");
      }
    }
  }
}
