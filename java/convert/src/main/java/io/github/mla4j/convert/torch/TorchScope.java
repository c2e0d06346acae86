package io.github.mla4j.convert.torch;

import java.util.Collection;
import java.util.List;
import java.util.function.Supplier;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;

/**
 * Bounds the life of native tensors: whatever a body makes is freed when the body ends.
 *
 * <p>A training step makes thousands of tensor handles. Left to the garbage collector they would be
 * freed far too late, because a handle of a few bytes on the heap may hold megabytes of native
 * memory.
 */
public final class TorchScope implements AutoCloseable {
  private final PointerScope scope;

  private TorchScope(PointerScope scope) {
    this.scope = scope;
  }

  /**
   * For bodies that throw checked exceptions: until it is closed, by the same thread, native
   * objects belong to it and no history for gradients is recorded.
   */
  @SuppressWarnings("resource") // the guard is native, and freed with the scope
  public static TorchScope withoutGradients() {
    TorchScope opened = new TorchScope(new PointerScope());
    new NoGradGuard();
    return opened;
  }

  /** Frees every native object made since. */
  @Override
  public void close() {
    scope.close();
  }

  /** Runs {@code body} and frees every native object it made. */
  @SuppressWarnings("try")
  public static void run(Runnable body) {
    try (PointerScope scope = new PointerScope()) {
      body.run();
    }
  }

  /**
   * Runs {@code body} and frees every native object it made; the result must not be one of them.
   */
  @SuppressWarnings("try")
  public static <T> T compute(Supplier<T> body) {
    try (PointerScope scope = new PointerScope()) {
      return body.get();
    }
  }

  /** Like {@link #compute}, and records no history for gradients. */
  @SuppressWarnings("try")
  public static <T> T computeWithoutGradients(Supplier<T> body) {
    try (PointerScope scope = new PointerScope();
        NoGradGuard guard = new NoGradGuard()) {
      return body.get();
    }
  }

  /**
   * Like {@link #computeWithoutGradients}, for a tensor that {@code body} makes: it lives as long
   * as the scope around this call, all else that the body makes is freed at once.
   */
  public static Tensor nested(Supplier<Tensor> body) {
    return adopt(computeWithoutGradients(() -> keep(body.get())));
  }

  /** Like {@link #nested}, for several tensors. */
  public static List<Tensor> nestedAll(Supplier<List<Tensor>> body) {
    List<Tensor> tensors =
        computeWithoutGradients(
            () -> {
              List<Tensor> made = body.get();
              made.forEach(TorchScope::keep);
              return made;
            });
    tensors.forEach(TorchScope::adopt);
    return tensors;
  }

  /** Gives an object that {@link #keep} made permanent to the scope around the call. */
  @SuppressWarnings("resource") // that scope is its owner's to close
  public static <T extends Pointer> T adopt(T object) {
    PointerScope.getInnerScope().attach(object);
    object.releaseReference();
    return object;
  }

  /** Frees objects of the innermost scope before it ends: large ones that are not needed again. */
  @SuppressWarnings("resource") // that scope is its owner's to close
  public static void free(Collection<? extends Pointer> objects) {
    PointerScope scope = PointerScope.getInnerScope();
    objects.forEach(scope::detach);
  }

  /** Like {@link #run}, and records no history for gradients. */
  public static void runWithoutGradients(Runnable body) {
    computeWithoutGradients(
        () -> {
          body.run();
          return null;
        });
  }

  /**
   * Makes a native object outlive every scope. It must own its memory: an element read from a
   * vector does not, the vector does.
   *
   * @return the same object; whoever keeps it calls {@link #release} exactly once
   */
  public static <T extends Pointer> T keep(T object) {
    object.retainReference();
    return object;
  }

  /** Gives up an object that {@link #keep} made permanent. */
  public static void release(Pointer object) {
    object.releaseReference();
  }
}
