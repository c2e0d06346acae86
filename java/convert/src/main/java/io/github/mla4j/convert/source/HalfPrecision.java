package io.github.mla4j.convert.source;

/** 16-bit floating point formats, widened. */
final class HalfPrecision {
  private HalfPrecision() {}

  /** IEEE binary16: 1 sign, 5 exponent, 10 fraction bits. */
  static float fromF16(short bits) {
    int sign = (bits & 0x8000) << 16;
    int exponent = (bits >> 10) & 0x1f;
    int fraction = bits & 0x3ff;
    if (exponent == 0) {
      float magnitude = fraction * 0x1p-24f;
      return sign == 0 ? magnitude : -magnitude;
    }
    int widened = exponent == 31 ? 0xff : exponent + (127 - 15);
    return Float.intBitsToFloat(sign | widened << 23 | fraction << 13);
  }

  /** The upper half of an IEEE binary32. */
  static float fromBf16(short bits) {
    return Float.intBitsToFloat(bits << 16);
  }
}
