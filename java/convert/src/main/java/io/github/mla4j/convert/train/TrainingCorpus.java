package io.github.mla4j.convert.train;

import java.io.IOException;
import java.nio.charset.MalformedInputException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * The texts of a run, tokenized.
 *
 * @param names of the files
 * @param vocabulary learned from the training documents
 * @param training the documents' tokens, {@link BytePairVocabulary#END_OF_TEXT} before each
 * @param heldOut the passage's tokens, {@link BytePairVocabulary#END_OF_TEXT} before them
 * @param passage text of the held-out passage
 * @param calibration a piece of the training text, for the calibration of conversions
 */
record TrainingCorpus(
    List<String> names,
    BytePairVocabulary vocabulary,
    int[] training,
    int[] heldOut,
    String passage,
    String calibration) {
  private static final int PAGE_WIDTH = 72;
  private static final int CALIBRATION_CHARACTERS = 64_000;

  /** Reads {@code files}; the held-out passage is cut out of the first. */
  static TrainingCorpus read(List<Path> files, TrainingPlan plan) throws IOException {
    if (files.isEmpty()) {
      throw new IllegalArgumentException("no texts to train on, expected at least one file");
    }
    HeldOutText first =
        HeldOutText.cut(readText(files.get(0)), plan.heldOutAt(), plan.heldOutCharacters());
    List<String> documents = new ArrayList<>(first.training());
    for (Path file : files.subList(1, files.size())) {
      documents.add(readText(file).strip());
    }
    BytePairVocabulary vocabulary = BytePairTrainer.train(documents, plan.shape().vocabulary());
    IntList training = new IntList();
    for (String document : documents) {
      append(training, document, vocabulary);
    }
    IntList heldOut = new IntList();
    append(heldOut, first.passage(), vocabulary);
    String calibration = documents.get(0);
    return new TrainingCorpus(
        files.stream().map(file -> file.getFileName().toString()).toList(),
        vocabulary,
        training.toArray(),
        heldOut.toArray(),
        first.passage(),
        calibration.substring(0, Math.min(CALIBRATION_CHARACTERS, calibration.length())));
  }

  private static void append(IntList tokens, String document, BytePairVocabulary vocabulary) {
    tokens.add(vocabulary.endOfText());
    tokens.addAll(vocabulary.encode(document));
  }

  private static String readText(Path file) throws IOException {
    try {
      return WrappedText.unwrap(Files.readString(file), PAGE_WIDTH);
    } catch (MalformedInputException e) {
      throw new IOException(file + " is not UTF-8 text", e);
    } catch (NoSuchFileException e) {
      throw new IOException(file + " does not exist, expected a text to train on", e);
    }
  }
}
