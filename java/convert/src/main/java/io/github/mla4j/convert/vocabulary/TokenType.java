package io.github.mla4j.convert.vocabulary;

/** What a token is, by GGUF's and SentencePiece's numbers. */
enum TokenType {
  NORMAL(1),
  UNKNOWN(2),
  CONTROL(3),
  USER_DEFINED(4),
  UNUSED(5),
  BYTE(6);

  private final int id;

  TokenType(int id) {
    this.id = id;
  }

  int id() {
    return id;
  }
}
