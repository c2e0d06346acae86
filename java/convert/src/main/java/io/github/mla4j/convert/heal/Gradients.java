package io.github.mla4j.convert.heal;

import io.github.mla4j.convert.torch.TorchScope;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.bytedeco.pytorch.Tensor;

/** One window's gradients by the tensors that are trained; owns them. Not thread-safe. */
final class Gradients implements AutoCloseable {
  private final Map<String, Optional<Tensor>> sums = new LinkedHashMap<>();

  /**
   * @param names of the tensors that are trained
   */
  Gradients(Collection<String> names) {
    names.forEach(name -> sums.put(name, Optional.empty()));
  }

  /** Whether the tensor of this name is trained. */
  boolean wants(String name) {
    return sums.containsKey(name);
  }

  /** Adds to the gradient by a tensor that is trained. */
  void add(String name, Tensor gradient) {
    Optional<Tensor> sum = sums.get(name);
    if (sum.isPresent()) {
      TorchScope.runWithoutGradients(() -> sum.get().add_(gradient));
    } else {
      sums.put(name, Optional.of(TorchScope.keep(gradient)));
    }
  }

  /**
   * Gives all gradients to the scope around the call, in the order of the names.
   *
   * @throws IllegalStateException if one was never added to
   */
  List<Tensor> release() {
    List<Tensor> gradients = new ArrayList<>();
    sums.forEach(
        (name, sum) ->
            gradients.add(
                TorchScope.adopt(
                    sum.orElseThrow(
                        () -> new IllegalStateException("no gradient by tensor " + name)))));
    sums.clear();
    return gradients;
  }

  @Override
  public void close() {
    sums.values().forEach(sum -> sum.ifPresent(TorchScope::release));
    sums.clear();
  }
}
