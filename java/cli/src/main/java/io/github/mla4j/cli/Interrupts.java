package io.github.mla4j.cli;

import java.lang.reflect.Method;
import java.lang.reflect.Proxy;

/**
 * Ctrl-C without leaving: while one of these is open and armed, an interrupt stops what is going on
 * and disarms it; unarmed, it ends the process. So a second Ctrl-C leaves.
 *
 * <p>Java has no supported API for signals; {@code sun.misc.Signal} is reached by reflection, so
 * that a JVM without it keeps its default: Ctrl-C ends the process.
 */
final class Interrupts implements AutoCloseable {
  /** Exit status of a process ended by Ctrl-C, by the shell's convention: 128 + SIGINT. */
  static final int EXIT_STATUS = 130;

  private final Runnable stop;
  private final Object previous;
  private volatile boolean armed;
  private volatile boolean happened;

  private Interrupts(Runnable stop) {
    this.stop = stop;
    previous = takeOver();
  }

  /**
   * Takes over Ctrl-C, unarmed.
   *
   * @param stop runs on a thread of its own, which is not the caller's
   */
  static Interrupts stopping(Runnable stop) {
    return new Interrupts(stop);
  }

  /** From now on the next interrupt stops something instead of ending the process. */
  void arm() {
    happened = false;
    armed = true;
  }

  /** From now on an interrupt ends the process. */
  void disarm() {
    armed = false;
  }

  /** Whether something was stopped since it was armed. */
  boolean happened() {
    return happened;
  }

  @Override
  public void close() {
    if (previous != null) {
      install(previous);
    }
  }

  private Object takeOver() {
    try {
      Class<?> type = Class.forName("sun.misc.SignalHandler");
      return install(
          Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, this::handle));
    } catch (ClassNotFoundException e) {
      return null;
    }
  }

  private Object handle(Object proxy, Method method, Object[] args) {
    return switch (method.getName()) {
      case "handle" -> {
        if (!armed) {
          System.exit(EXIT_STATUS);
        }
        armed = false;
        happened = true;
        stop.run();
        yield null;
      }
      case "equals" -> proxy == args[0];
      case "hashCode" -> System.identityHashCode(proxy);
      default -> "Interrupts";
    };
  }

  /** Returns the handler that was there before, or null where signals cannot be handled. */
  private static Object install(Object handler) {
    try {
      Class<?> signal = Class.forName("sun.misc.Signal");
      Class<?> type = Class.forName("sun.misc.SignalHandler");
      Object interrupt = signal.getConstructor(String.class).newInstance("INT");
      return signal.getMethod("handle", signal, type).invoke(null, interrupt, handler);
    } catch (ReflectiveOperationException e) {
      return null;
    }
  }
}
