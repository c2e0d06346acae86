package io.github.mla4j.tokenizer;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import io.github.mla4j.ClosedException;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Map;
import java.util.concurrent.locks.ReadWriteLock;
import java.util.concurrent.locks.ReentrantReadWriteLock;

/**
 * Hugging Face's tokenizer for a vocabulary, without special tokens. Any thread; closing waits for
 * running calls, for the library would crash under them.
 */
final class TextEncoder implements AutoCloseable {
  private static final String FLAVOR = "RUST_FLAVOR";

  private final ReadWriteLock lock = new ReentrantReadWriteLock();
  private final HuggingFaceTokenizer tokenizer;
  private boolean closed;

  static {
    loadLibrary();
  }

  TextEncoder(Vocabulary vocabulary) {
    byte[] json = TokenizerJson.of(vocabulary);
    HuggingFaceTokenizer built;
    try {
      built = build(json);
    } catch (RuntimeException e) {
      built = build(TokenizerJson.checked(vocabulary)); // a file with merges of what is no token
    }
    tokenizer = built;
  }

  private static HuggingFaceTokenizer build(byte[] json) {
    Map<String, String> options =
        Map.of("addSpecialTokens", "false", "truncation", "false", "padding", "false");
    try {
      return HuggingFaceTokenizer.newInstance(new ByteArrayInputStream(json), options);
    } catch (IOException e) {
      throw new UncheckedIOException(e); // memory does not fail
    }
  }

  /** The ids of a text in which special tokens mean nothing. */
  long[] encode(String text) {
    lock.readLock().lock();
    try {
      if (closed) {
        throw new ClosedException("the tokenizer is closed, with its model and sessions");
      }
      return tokenizer.encode(wellFormed(text), false, false).getIds();
    } finally {
      lock.readLock().unlock();
    }
  }

  @Override
  public void close() {
    lock.writeLock().lock();
    try {
      if (!closed) {
        closed = true;
        tokenizer.close();
      }
    } finally {
      lock.writeLock().unlock();
    }
  }

  /** Surrogates without their partner have no UTF-8 form; they become U+FFFD. */
  private static String wellFormed(String text) {
    for (int i = 0; i < text.length(); i++) {
      if (Character.isSurrogate(text.charAt(i))) {
        return text.codePoints()
            .map(c -> Character.getType(c) == Character.SURROGATE ? 0xFFFD : c)
            .collect(StringBuilder::new, StringBuilder::appendCodePoint, StringBuilder::append)
            .toString();
      }
    }
    return text;
  }

  /** On a machine with CUDA the library would download another build of itself; none is needed. */
  private static void loadLibrary() {
    if (System.getenv(FLAVOR) != null || System.getProperty(FLAVOR) != null) {
      ai.djl.huggingface.tokenizers.jni.LibUtils.checkStatus();
      return;
    }
    System.setProperty(FLAVOR, "cpu");
    try {
      ai.djl.huggingface.tokenizers.jni.LibUtils.checkStatus();
    } finally {
      System.clearProperty(FLAVOR);
    }
  }
}
