package io.github.mla4j;

import static io.github.mla4j.bindings.global.mla.MLA_CANCELLED;
import static io.github.mla4j.bindings.global.mla.MLA_OK;
import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class CancelGateTest {
  private static final long NO_HANDLE = 0; // native calls answer "closed" to it

  private final CancelGate gate = new CancelGate();
  private int calls;

  @Test
  void aCallThatNobodyCancelledIsMadeAgain() {
    assertEquals(MLA_OK, gate.run(NO_HANDLE, h -> ++calls == 1 ? MLA_CANCELLED : MLA_OK));
    assertEquals(2, calls);
  }

  @Test
  void aCancelledCallIsNot() {
    int status =
        gate.run(
            NO_HANDLE,
            h -> {
              calls++;
              gate.cancel(NO_HANDLE);
              return MLA_CANCELLED;
            });
    assertEquals(MLA_CANCELLED, status);
    assertEquals(1, calls);
  }

  @Test
  void aCancelWhereNothingRunsIsForgotten() {
    gate.cancel(NO_HANDLE);
    assertEquals(MLA_OK, gate.run(NO_HANDLE, h -> ++calls == 1 ? MLA_CANCELLED : MLA_OK));
  }
}
