package io.github.mla4j.convert.vocabulary;

import io.github.mla4j.BadFileException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;

/** Reads {@code tokenizer.model}, SentencePiece's protocol buffer, of BPE type. */
final class SentencePieceFile {
  // Field numbers of sentencepiece_model.proto.
  private static final int PIECES = 1;
  private static final int TRAINER = 2;
  private static final int NORMALIZER = 3;
  private static final int PIECE_TEXT = 1;
  private static final int PIECE_SCORE = 2;
  private static final int PIECE_TYPE = 3;
  private static final int MODEL_TYPE = 3;
  private static final int UNK_ID = 40;
  private static final int BOS_ID = 41;
  private static final int EOS_ID = 42;
  private static final int ADD_DUMMY_PREFIX = 3;

  private static final int BPE = 2;

  private final Path file;
  private final TokenTable tokens;
  private int pieces;
  // The format's defaults.
  private int modelType = 1;
  private int unknown = 0;
  private int bos = 1;
  private int eos = 2;
  private boolean addSpacePrefix = true;

  private SentencePieceFile(Path file, int vocabularySize) {
    this.file = file;
    this.tokens = new TokenTable(file.toString(), vocabularySize);
  }

  static ImportedVocabulary read(Path file, int vocabularySize) throws IOException {
    return new SentencePieceFile(file, vocabularySize).read();
  }

  private ImportedVocabulary read() throws IOException {
    try {
      readModel(new ProtobufReader(ByteBuffer.wrap(Files.readAllBytes(file))));
    } catch (ProtobufReader.MalformedException e) {
      throw new BadFileException(
          "%s: not a SentencePiece model: %s".formatted(file, e.getMessage()));
    }
    if (pieces == 0) {
      throw new BadFileException("%s: not a SentencePiece model: no pieces".formatted(file));
    }
    if (modelType != BPE) {
      throw new BadFileException(
          "%s: SentencePiece model of type %d: expected %d (BPE)".formatted(file, modelType, BPE));
    }
    return new ImportedVocabulary(
        "llama",
        Optional.empty(),
        tokens.spellings(),
        tokens.types(),
        List.of(),
        tokens.scores(),
        Optional.of(addSpacePrefix),
        SpecialTokens.read(file.toAbsolutePath().getParent(), tokens)
            .orElse(id(bos), id(eos), id(unknown), true));
  }

  private OptionalInt id(int id) {
    return id >= 0 && id < pieces ? OptionalInt.of(id) : OptionalInt.empty();
  }

  private void readModel(ProtobufReader in) throws IOException, ProtobufReader.MalformedException {
    while (in.next()) {
      switch (in.field()) {
        case PIECES -> readPiece(in.message());
        case TRAINER -> readTrainer(in.message());
        case NORMALIZER -> readNormalizer(in.message());
        default -> in.skip();
      }
    }
  }

  private void readPiece(ProtobufReader in) throws IOException, ProtobufReader.MalformedException {
    String text = "";
    float score = 0;
    int type = TokenType.NORMAL.id();
    while (in.next()) {
      switch (in.field()) {
        case PIECE_TEXT -> text = StandardCharsets.UTF_8.decode(in.bytes()).toString();
        case PIECE_SCORE -> score = in.float32();
        case PIECE_TYPE -> type = (int) in.varint();
        default -> in.skip();
      }
    }
    if (type < 1 || type > TokenType.values().length) {
      throw new ProtobufReader.MalformedException("piece '%s' has type %d".formatted(text, type));
    }
    tokens.put(pieces, text, TokenType.values()[type - 1]);
    tokens.score(pieces, score);
    pieces++;
  }

  private void readTrainer(ProtobufReader in) throws ProtobufReader.MalformedException {
    while (in.next()) {
      switch (in.field()) {
        case MODEL_TYPE -> modelType = (int) in.varint();
        case UNK_ID -> unknown = (int) in.varint();
        case BOS_ID -> bos = (int) in.varint();
        case EOS_ID -> eos = (int) in.varint();
        default -> in.skip();
      }
    }
  }

  private void readNormalizer(ProtobufReader in) throws ProtobufReader.MalformedException {
    while (in.next()) {
      if (in.field() == ADD_DUMMY_PREFIX) {
        addSpacePrefix = in.varint() != 0;
      } else {
        in.skip();
      }
    }
  }
}
