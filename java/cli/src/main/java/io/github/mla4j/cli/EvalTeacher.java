package io.github.mla4j.cli;

import io.github.mla4j.CacheOptions;
import io.github.mla4j.Model;
import io.github.mla4j.Session;
import io.github.mla4j.eval.TextWindows;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import picocli.CommandLine.Option;

/** The model that another one is compared with, on the same windows of a text. */
final class EvalTeacher {
  @Option(
      names = "--teacher-cache",
      paramLabel = "TYPE",
      description = "How the teacher's cache keeps numbers (default: f16).")
  private CacheOptions cache;

  /** Refuses to be told of a teacher's cache where there is no teacher. */
  void requireNone(EvalArguments arguments) {
    if (cache != null) {
      throw arguments.wrong("--teacher-cache needs a --teacher");
    }
  }

  /** What is measured of the two; a unit of progress is a window. */
  interface Comparison<T> {
    T of(Pair pair, EvalProgress progress);
  }

  /** A model and its teacher, which know the same tokens and hold a window each. */
  record Pair(Session model, Session teacher, int vocabulary, TextWindows windows) {}

  /** A measure, with what the model's cache takes. */
  record Compared<T>(T measured, double bytesPerToken) {}

  /** Opens both, measures and closes both. */
  <T> Compared<T> compare(EvalText text, Path teacherFile, Comparison<T> comparison)
      throws IOException {
    EvalArguments arguments = text.arguments();
    String words = text.read();
    // The teacher may be the model itself with another cache: then it is loaded once.
    boolean same = Files.exists(teacherFile) && Files.isSameFile(teacherFile, arguments.file());
    try (Model model = arguments.openModel();
        Model teacher = same ? model : arguments.openModel(teacherFile)) {
      requireSameVocabulary(arguments, model, teacher, teacherFile);
      int window = Math.min(text.window(model, "the model"), text.window(teacher, "the teacher"));
      TextWindows windows = text.windows(model, words, window);
      Optional<String> difference = text.windows(teacher, words, window).difference(windows);
      if (difference.isPresent()) {
        throw arguments.wrong(
            "--teacher %s has another tokenizer than %s: with it, %s"
                .formatted(teacherFile, arguments.file(), difference.get()));
      }
      try (Session session = arguments.openSession(model, window);
          Session teacherSession = arguments.openSession(teacher, window, cache())) {
        Pair pair = new Pair(session, teacherSession, model.info().vocabularySize(), windows);
        T measured = comparison.of(pair, arguments.progress(windows.count()));
        return new Compared<>(measured, arguments.bytesPerToken(model, window));
      }
    }
  }

  private CacheOptions cache() {
    return cache == null ? CacheOptions.defaults() : cache;
  }

  private static void requireSameVocabulary(
      EvalArguments arguments, Model model, Model teacher, Path teacherFile) {
    int expected = model.info().vocabularySize();
    int found = teacher.info().vocabularySize();
    if (found != expected) {
      throw arguments.wrong(
          "--teacher %s has a vocabulary of %d tokens, expected %d as %s has"
              .formatted(teacherFile, found, expected, arguments.file()));
    }
  }
}
