package io.github.mla4j.convert.torch;

import static org.bytedeco.pytorch.global.torch.ones;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.Arrays;
import org.junit.jupiter.api.Test;

class DropoutTest {
  private static float[] dropped(double share, long seed) {
    return TorchScope.compute(
        () -> TensorValues.floats(Dropout.seeded(share, seed).apply(ones(10_000))));
  }

  @Test
  void dropsTheShareAskedForAndKeepsTheMean() {
    float[] values = dropped(0.25, 1);
    int zeros = 0;
    for (float value : values) {
      if (value == 0) {
        zeros++;
      } else {
        assertEquals(1 / 0.75, value, 1e-6);
      }
    }
    assertEquals(2500, zeros, 200);
  }

  @Test
  void dependsOnTheSeedAlone() {
    assertArrayEquals(dropped(0.25, 1), dropped(0.25, 1));
    assertFalse(Arrays.equals(dropped(0.25, 1), dropped(0.25, 2)));
  }

  @Test
  void refusesToDropEverything() {
    IllegalArgumentException e =
        assertThrows(IllegalArgumentException.class, () -> Dropout.seeded(1, 1));
    assertEquals("dropout is 1.0, expected 0 to below 1", e.getMessage());
  }
}
