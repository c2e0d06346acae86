package io.github.mla4j.convert.torch;

import java.util.Arrays;
import java.util.Collections;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import org.bytedeco.pytorch.Tensor;

/**
 * Named float32 tensors that are trained together, in the order in which they were added.
 *
 * <p>Names are those of Hugging Face checkpoints ({@code model.layers.0.self_attn.q_proj.weight}).
 * Owns its tensors and frees them on {@link #close}. Not thread-safe.
 */
public final class Parameters implements AutoCloseable {
  private final Map<String, Tensor> tensors = new LinkedHashMap<>();

  /** No parameters yet. */
  public Parameters() {}

  /** Takes over {@code tensor}, which must be a leaf, and marks it as trainable. */
  public Tensor add(String name, Tensor tensor) {
    if (tensors.containsKey(name)) {
      throw new IllegalArgumentException("parameter " + name + " is already there");
    }
    tensor.requires_grad_(true);
    tensors.put(name, TorchScope.keep(tensor));
    return tensor;
  }

  /**
   * The tensor called {@code name}.
   *
   * @throws NoSuchElementException when there is none
   * @throws IllegalArgumentException when its shape is not {@code shape}
   */
  public Tensor get(String name, long... shape) {
    Tensor tensor = tensors.get(name);
    if (tensor == null) {
      throw new NoSuchElementException("no parameter " + name);
    }
    if (!Arrays.equals(shape, tensor.shape())) {
      throw new IllegalArgumentException(
          "parameter %s has shape %s, expected %s"
              .formatted(name, Arrays.toString(tensor.shape()), Arrays.toString(shape)));
    }
    return tensor;
  }

  /** All tensors by name; the view is read-only, the tensors stay owned by this object. */
  public Map<String, Tensor> all() {
    return Collections.unmodifiableMap(tensors);
  }

  /**
   * Gradients by the parameters' names.
   *
   * @param gradients in the parameters' order
   */
  public Map<String, Tensor> named(List<Tensor> gradients) {
    if (gradients.size() != tensors.size()) {
      throw new IllegalArgumentException(
          "%d gradients, expected %d".formatted(gradients.size(), tensors.size()));
    }
    Map<String, Tensor> named = new LinkedHashMap<>();
    Iterator<Tensor> next = gradients.iterator();
    tensors.keySet().forEach(name -> named.put(name, next.next()));
    return named;
  }

  /** How many numbers all tensors hold together. */
  public long count() {
    return tensors.values().stream().mapToLong(Tensor::numel).sum();
  }

  /** Frees every tensor; closing twice is harmless. */
  @Override
  public void close() {
    tensors.values().forEach(TorchScope::release);
    tensors.clear();
  }
}
