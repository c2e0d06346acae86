package io.github.mla4j.cli;

import io.github.mla4j.Model;
import io.github.mla4j.Session;
import io.github.mla4j.eval.HellaSwag;
import io.github.mla4j.eval.HellaSwagTask;
import java.io.IOException;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** {@code mla eval hellaswag}: the likeliest of four endings. */
@Command(
    name = "hellaswag",
    description =
        "How often the right one of four endings is the likeliest, by the mean log-probability of "
            + "its tokens. The data has six lines a task: context, index of the right ending, "
            + "four endings.",
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    sortOptions = false)
final class EvalHellaSwagCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin private EvalArguments arguments;

  @Override
  public Integer call() throws IOException {
    List<HellaSwagTask> all = HellaSwagTask.read(arguments.data());
    try (Model model = arguments.openModel();
        Session session = arguments.openSession(model)) {
      List<HellaSwagTask> tasks = all.subList(0, arguments.limited(all.size()));
      HellaSwag measured =
          HellaSwag.measure(
              session,
              model.tokenizer(),
              tasks,
              arguments.context(model),
              soFar ->
                  arguments.tell(
                      soFar.tasks(),
                      tasks.size(),
                      String.format(Locale.ROOT, "accuracy %.3f", soFar.accuracy())));
      print(measured);
    }
    return 0;
  }

  private void print(HellaSwag measured) throws IOException {
    if (arguments.json()) {
      Json.print(
          spec.commandLine().getOut(),
          json -> {
            json.writeStartObject();
            json.writeNumberField("accuracy", measured.accuracy());
            json.writeNumberField("stderr", measured.standardError());
            json.writeNumberField("tasks", measured.tasks());
            json.writeEndObject();
          });
      return;
    }
    spec.commandLine()
        .getOut()
        .printf(
            Locale.ROOT,
            "accuracy %.4f ± %.4f over %,d tasks%n",
            measured.accuracy(),
            measured.standardError(),
            measured.tasks());
  }
}
