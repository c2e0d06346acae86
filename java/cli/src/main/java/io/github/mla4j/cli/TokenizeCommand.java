package io.github.mla4j.cli;

import io.github.mla4j.gguf.Gguf;
import io.github.mla4j.tokenizer.Tokenizer;
import io.github.mla4j.tokenizer.Vocabulary;
import java.io.IOException;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code mla tokenize}: text to ids. */
@Command(
    name = "tokenize",
    description = "Print a text's token ids as a JSON array.",
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    sortOptions = false)
final class TokenizeCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Parameters(
      paramLabel = "MODEL",
      description = "A GGUF file, of which the vocabulary is enough, or a Hugging Face folder.")
  private Path file;

  @ArgGroup(multiplicity = "1")
  private PromptArguments prompt;

  @Option(
      names = "--add-special",
      description = "Begin with BOS and end with EOS where the model asks for it, as run does.")
  private boolean addSpecial;

  @Override
  public Integer call() throws IOException {
    String text = prompt.text();
    try (Gguf gguf = Models.openGguf(file);
        Tokenizer tokenizer = new Tokenizer(Vocabulary.read(gguf))) {
      int[] ids = tokenizer.encode(text, addSpecial, true);
      Json.print(spec.commandLine().getOut(), json -> json.writeArray(ids, 0, ids.length));
    }
    return 0;
  }
}
