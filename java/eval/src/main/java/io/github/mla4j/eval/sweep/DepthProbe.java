package io.github.mla4j.eval.sweep;

import io.github.mla4j.Session;
import io.github.mla4j.SessionMemory;
import io.github.mla4j.eval.TokenClock;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntConsumer;

/**
 * Times a session at several depths. Tokens only go forward where they can: a cache with a window
 * in f16 has to be filled anew after a deep rewind, and that must not be timed.
 *
 * <p>At each depth come one token that is not timed, {@value #DECODED} single ones, and up to
 * {@value #PREFILLED} together.
 */
public final class DepthProbe {
  private static final int WARM = 1;
  static final int DECODED = 32;
  static final int PREFILLED = 512;

  /** Fewer together tell little of prefill. */
  private static final int LEAST_PREFILLED = 64;

  /** Tokens at once while filling, so that whoever waits hears of it. */
  private static final int FILLED = 512;

  /** About how many tokens, taken together, take as long as one alone. */
  private static final int ALONE = 8;

  private final Session session;
  private final int[] text;
  private final int context;
  private final IntConsumer tokensDone;
  private int length;

  private DepthProbe(Session session, int[] text, int context, IntConsumer tokensDone) {
    this.session = session;
    this.text = text;
    this.context = context;
    this.tokensDone = tokensDone;
  }

  /** Whether a context of so many tokens has room to measure at this depth. */
  public static boolean fits(int depth, int context) {
    return depth + WARM + DECODED + LEAST_PREFILLED <= context;
  }

  /** The context that a session needs for depths that fit a model's: as little as that. */
  public static int context(List<Integer> depths, int modelContext) {
    int deepest = depths.stream().mapToInt(depth -> depth).max().orElse(0);
    return Math.min(modelContext, deepest + WARM + DECODED + PREFILLED);
  }

  /** What {@link #measure} tells of in all: a single token counts as several. */
  public static long work(List<Integer> depths, int modelContext) {
    long work = 0;
    int at = 0;
    for (int depth : depths.stream().sorted().toList()) {
      at = at <= depth ? at : 0;
      int together = together(depth, context(depths, modelContext));
      work += depth - at + (WARM + DECODED) * ALONE + together;
      at = depth + WARM + DECODED + together;
    }
    return work;
  }

  /**
   * Measures from the least depth to the greatest.
   *
   * @param session whatever it holds is forgotten
   * @param context tokens that it holds, as {@link #context} tells
   * @param text tokens to feed, at least one; they come again where they are not enough
   * @param depths that {@linkplain #fits fit}
   * @param workDone told of pieces of {@link #work}
   */
  public static List<DepthSpeed> measure(
      Session session, int context, int[] text, List<Integer> depths, IntConsumer workDone) {
    DepthProbe probe = new DepthProbe(session, text, context, workDone);
    session.rewind(0);
    List<DepthSpeed> speeds = new ArrayList<>();
    for (int depth : depths.stream().sorted().toList()) {
      speeds.add(probe.at(depth));
    }
    return speeds;
  }

  private DepthSpeed at(int depth) {
    if (length > depth) {
      session.rewind(0);
      length = 0;
    }
    while (length < depth) {
      int count = Math.min(FILLED, depth - length);
      append(count);
      tokensDone.accept(count);
    }
    long[] nanos = new long[DECODED];
    append(WARM);
    tokensDone.accept(WARM * ALONE);
    for (int i = 0; i < DECODED; i++) {
      nanos[i] = append(1);
      tokensDone.accept(ALONE);
    }
    Arrays.sort(nanos);
    int together = together(depth, context);
    long prefill = append(together);
    tokensDone.accept(together);
    SessionMemory memory = session.memory();
    return new DepthSpeed(
        depth,
        2e9 / (nanos[DECODED / 2 - 1] + nanos[DECODED / 2]),
        1e9 / nanos[3 * DECODED / 4],
        1e9 / nanos[DECODED / 4],
        DECODED,
        together * 1e9 / prefill,
        together,
        memory.cacheBytes(),
        memory.workspaceBytes());
  }

  private static int together(int depth, int context) {
    return Math.min(PREFILLED, context - depth - WARM - DECODED);
  }

  /** Appends the text's next tokens; returns the time it took. */
  private long append(int count) {
    int[] tokens = new int[count];
    for (int i = 0; i < count; i++) {
      tokens[i] = text[(length + i) % text.length];
    }
    length += count;
    return TokenClock.together(session, tokens);
  }
}
