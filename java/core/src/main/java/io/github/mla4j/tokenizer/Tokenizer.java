package io.github.mla4j.tokenizer;

import io.github.mla4j.ClosedException;
import io.github.mla4j.MlaException;
import java.util.Arrays;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.concurrent.locks.ReentrantLock;
import java.util.stream.IntStream;

/**
 * Text to token ids and back. Ids are those of llama.cpp for the same file. Any thread; a model's
 * is closed with the model and its sessions, after which only decoding works.
 */
public final class Tokenizer implements AutoCloseable {
  private static final Set<String> END_OF_GENERATION =
      Set.of(
          "<|im_end|>",
          "<|eot_id|>",
          "<|eom_id|>",
          "<|end|>",
          "<|end_of_text|>",
          "<|endoftext|>",
          "<end_of_turn>",
          "<EOT>",
          "< EOT >",
          "_<EOT>",
          "<｜end▁of▁sentence｜>");

  private final Vocabulary vocabulary;
  private final SpecialTokens specialTokens;
  private final TokenBytes tokenBytes;
  private final boolean[] endOfGeneration;

  // Built at the first text: decoding needs none, and it takes a while.
  private final ReentrantLock encoderLock = new ReentrantLock();
  private Optional<TextEncoder> encoder = Optional.empty();
  private volatile boolean closed;

  /** A tokenizer of its own for a vocabulary; the caller closes it. */
  public Tokenizer(Vocabulary vocabulary) {
    this.vocabulary = vocabulary;
    specialTokens = new SpecialTokens(vocabulary);
    tokenBytes = new TokenBytes(vocabulary);
    endOfGeneration = endOfGeneration(vocabulary);
  }

  public Vocabulary vocabulary() {
    return vocabulary;
  }

  /** How many tokens there are. */
  public int size() {
    return vocabulary.size();
  }

  public OptionalInt bos() {
    return vocabulary.bos();
  }

  public OptionalInt eos() {
    return vocabulary.eos();
  }

  /** As {@link #encode(String, boolean, boolean)} with special tokens added and found. */
  public int[] encode(String text) {
    return encode(text, true, true);
  }

  /**
   * The ids of a text. The first call takes a fraction of a second for a large vocabulary.
   *
   * @param addSpecial begin with BOS and end with EOS where the vocabulary asks for it
   * @param parseSpecial text that spells a control token is that token; false for text that is not
   *     trusted, where it stays text
   * @throws MlaException UNSUPPORTED where the file's pre-tokenizer is not known
   */
  public int[] encode(String text, boolean addSpecial, boolean parseSpecial) {
    TextEncoder words = encoder();
    IntStream.Builder ids = IntStream.builder();
    if (addSpecial && vocabulary.addsBos()) {
      ids.add(vocabulary.bos().getAsInt());
    }
    boolean afterSpecial = true; // the beginning counts
    if (!text.isEmpty()) {
      for (SpecialTokens.Part part : specialTokens.cut(text, parseSpecial)) {
        if (part.isText()) {
          for (long id : words.encode(spelled(part.text(), afterSpecial))) {
            ids.add((int) id);
          }
        } else {
          ids.add(part.id());
        }
        afterSpecial = !part.isText();
      }
    }
    if (addSpecial && vocabulary.addsEos()) {
      ids.add(vocabulary.eos().getAsInt());
    }
    return ids.build().toArray();
  }

  /**
   * The text of ids. Control tokens have none; a space that {@link #encode} put before the text is
   * taken away.
   */
  public String decode(int... ids) {
    IncrementalDecoder decoder = new IncrementalDecoder();
    for (int id : ids) {
      feed(id, decoder);
    }
    decoder.finish();
    String text = decoder.take();
    return vocabulary.addsSpacePrefix() && text.startsWith(" ") ? text.substring(1) : text;
  }

  /** The bytes of text that a token stands for, maybe a part of a character. */
  public byte[] bytes(int id) {
    requireId(id);
    return tokenBytes.of(id);
  }

  /** Puts a token's bytes into a decoder, for text that arrives token by token. */
  public void feed(int id, IncrementalDecoder decoder) {
    requireId(id);
    tokenBytes.feed(id, decoder);
  }

  /** Whether a model that chooses this token has said what it had to say. */
  public boolean isEndOfGeneration(int id) {
    return id >= 0 && id < endOfGeneration.length && endOfGeneration[id];
  }

  /** Ends encoding, after running calls; decoding goes on working. */
  @Override
  public void close() {
    closed = true;
    // Who holds the lock closes what it builds; nobody waits for that.
    if (encoderLock.tryLock()) {
      try {
        encoder.ifPresent(TextEncoder::close);
      } finally {
        encoderLock.unlock();
      }
    }
  }

  private TextEncoder encoder() {
    Optional<TextEncoder> built;
    encoderLock.lock();
    try {
      if (!closed && encoder.isEmpty()) {
        encoder = Optional.of(new TextEncoder(vocabulary));
      }
      built = encoder;
    } finally {
      encoderLock.unlock();
    }
    if (closed) {
      close();
      throw new ClosedException("the tokenizer is closed, with its model and sessions");
    }
    return built.get();
  }

  private String spelled(String text, boolean afterSpecial) {
    if (vocabulary.kind() == Vocabulary.Kind.BYTE_LEVEL) {
      return text;
    }
    String prefix = afterSpecial && vocabulary.addsSpacePrefix() ? " " : "";
    return (prefix + text).replace(' ', '\u2581');
  }

  private void requireId(int id) {
    if (id < 0 || id >= size()) {
      throw new IllegalArgumentException("token " + id + " is beyond 0 .. " + (size() - 1));
    }
  }

  private static boolean[] endOfGeneration(Vocabulary vocabulary) {
    boolean[] ends = new boolean[vocabulary.size()];
    for (int id = 0; id < ends.length; id++) {
      boolean special = vocabulary.isControl(id) || vocabulary.isUserDefined(id);
      ends[id] = special && END_OF_GENERATION.contains(vocabulary.spelling(id));
    }
    for (OptionalInt id : Arrays.asList(vocabulary.eos(), vocabulary.eot(), vocabulary.eom())) {
      id.ifPresent(end -> ends[end] = true);
    }
    return ends;
  }
}
