package io.github.mla4j.convert.vocabulary;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** Walks the fields of a protocol buffer message in wire format. */
final class ProtobufReader {
  private static final int VARINT = 0;
  private static final int FIXED64 = 1;
  private static final int LENGTH = 2;
  private static final int FIXED32 = 5;

  private final ByteBuffer in;
  private int field;
  private int wireType;

  /** Bytes that are not a message. */
  static final class MalformedException extends Exception {
    private static final long serialVersionUID = 1L;

    MalformedException(String message) {
      super(message);
    }
  }

  ProtobufReader(ByteBuffer in) {
    this.in = in.order(ByteOrder.LITTLE_ENDIAN);
  }

  /** Moves to the next field; false at the end. Every field must be read or skipped. */
  boolean next() throws MalformedException {
    if (!in.hasRemaining()) {
      return false;
    }
    long tag = readVarint();
    field = (int) (tag >>> 3);
    wireType = (int) (tag & 7);
    if (field <= 0) {
      throw new MalformedException("field number " + field + " at byte " + in.position());
    }
    return true;
  }

  int field() {
    return field;
  }

  long varint() throws MalformedException {
    expect(VARINT);
    return readVarint();
  }

  float float32() throws MalformedException {
    expect(FIXED32);
    return require(4).getFloat();
  }

  ByteBuffer bytes() throws MalformedException {
    expect(LENGTH);
    long length = readVarint();
    if (length < 0 || length > in.remaining()) {
      throw new MalformedException(
          "%d bytes wanted at byte %d, %d are left"
              .formatted(length, in.position(), in.remaining()));
    }
    return require((int) length);
  }

  ProtobufReader message() throws MalformedException {
    return new ProtobufReader(bytes());
  }

  void skip() throws MalformedException {
    switch (wireType) {
      case VARINT -> readVarint();
      case FIXED64 -> require(8);
      case LENGTH -> bytes();
      case FIXED32 -> require(4);
      default ->
          throw new MalformedException("wire type " + wireType + " at byte " + in.position());
    }
  }

  private void expect(int type) throws MalformedException {
    if (wireType != type) {
      throw new MalformedException(
          "field %d has wire type %d: expected %d".formatted(field, wireType, type));
    }
  }

  private ByteBuffer require(int length) throws MalformedException {
    if (length > in.remaining()) {
      throw new MalformedException("ends in the middle of field " + field);
    }
    ByteBuffer part = in.slice(in.position(), length).order(ByteOrder.LITTLE_ENDIAN);
    in.position(in.position() + length);
    return part;
  }

  private long readVarint() throws MalformedException {
    long value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (!in.hasRemaining()) {
        throw new MalformedException("ends in the middle of a number");
      }
      byte part = in.get();
      value |= (long) (part & 0x7f) << shift;
      if (part >= 0) {
        return value;
      }
    }
    throw new MalformedException("a number is longer than 10 bytes");
  }
}
