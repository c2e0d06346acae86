package io.github.mla4j;

/** Why a generation ended. */
public enum FinishReason {
  /** The model ended it, or a stop text or stop token came. */
  STOP,
  /** As many tokens as were asked for. */
  LENGTH,
  /** No further token fits into the session's context. */
  CONTEXT_FULL,
  /** Cancelled, or its stream or session was closed. */
  CANCELLED
}
