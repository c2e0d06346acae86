package io.github.mla4j;

import io.github.mla4j.gguf.Gguf;
import io.github.mla4j.tokenizer.Tokenizer;
import io.github.mla4j.tokenizer.Vocabulary;
import java.util.Optional;

/**
 * A model's tokenizer, built when it is first asked for and shared with the model's sessions; the
 * last of them to close ends it. Any thread.
 */
final class LazyTokenizer {
  private final Optional<Vocabulary> vocabulary;
  private final Optional<MlaException> problem;
  private Optional<Tokenizer> tokenizer = Optional.empty();
  private int users = 1; // the model
  private boolean prepared;

  private LazyTokenizer(Optional<Vocabulary> vocabulary, Optional<MlaException> problem) {
    this.vocabulary = vocabulary;
    this.problem = problem;
  }

  /** Never fails: a model without a usable vocabulary still works with ids. */
  static LazyTokenizer of(Gguf file) {
    try {
      return new LazyTokenizer(Optional.of(Vocabulary.read(file)), Optional.empty());
    } catch (MlaException e) {
      return new LazyTokenizer(Optional.empty(), Optional.of(e));
    }
  }

  boolean hasVocabulary() {
    return vocabulary.isPresent();
  }

  synchronized Tokenizer get() {
    if (tokenizer.isEmpty()) {
      if (users == 0) {
        throw new ClosedException("the model is closed");
      }
      Vocabulary from =
          vocabulary.orElseThrow(
              () -> MlaException.of(problem.get().status(), problem.get().getMessage()));
      tokenizer = Optional.of(new Tokenizer(from));
    }
    return tokenizer.get();
  }

  /** Builds what the first text needs, once, in the background while a session is made. */
  synchronized void prepare() {
    if (!prepared && hasVocabulary()) {
      prepared = true;
      Thread builder = new Thread(this::build, "mla-tokenizer");
      builder.setDaemon(true);
      try {
        builder.start();
      } catch (OutOfMemoryError e) {
        // No more threads: the first text builds it.
      }
    }
  }

  private void build() {
    try {
      get().encode("");
    } catch (RuntimeException | LinkageError | OutOfMemoryError e) {
      // The first text meets it again, where somebody listens.
    }
  }

  synchronized void retain() {
    users++;
  }

  synchronized void release() {
    if (--users == 0) {
      tokenizer.ifPresent(Tokenizer::close);
    }
  }

  /** The tokenizer for turning ids into text, where there is a vocabulary. */
  Optional<Tokenizer> forDecoding() {
    return hasVocabulary() ? Optional.of(get()) : Optional.empty();
  }
}
