package io.github.mla4j.convert.heal;

import org.bytedeco.pytorch.global.torch.ScalarType;

/** The type that matrices are multiplied in; sums are float32 in either. */
public enum Precision {
  F32(ScalarType.Float),
  BF16(ScalarType.BFloat16);

  private final ScalarType type;

  Precision(ScalarType type) {
    this.type = type;
  }

  ScalarType type() {
    return type;
  }
}
