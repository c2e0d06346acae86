package io.github.mla4j.convert.torch;

import java.util.Arrays;
import java.util.Optional;
import org.bytedeco.pytorch.Tensor;

/**
 * The tensors of one converted attention layer, float32, matrices as [out, in].
 *
 * <p>All heads share one rotary key of R dims; the rest of the keys and the values come from one
 * latent of C dims. A head's query and key have R rotary and n other dims, its value d_v. The
 * tensors belong to the caller and must outlive this record's users.
 *
 * @param query [heads * (R + n), hidden], a head's rotary rows before its others
 * @param queryBias [heads * (R + n)]
 * @param rotaryKey [R, hidden], absent where R is 0
 * @param rotaryKeyBias [R]
 * @param frequencies R / 2 angles per position, in radians; dimension i turns with i + R / 2
 * @param down [C, hidden], makes the latent
 * @param keyUp [kvHeads, n, C]
 * @param valueUp [kvHeads, d_v, C]
 * @param output [hidden, heads * d_v]
 * @param outputBias [hidden]
 */
public record LatentWeights(
    Tensor query,
    Optional<Tensor> queryBias,
    Optional<Tensor> rotaryKey,
    Optional<Tensor> rotaryKeyBias,
    float[] frequencies,
    Tensor down,
    Tensor keyUp,
    Tensor valueUp,
    Tensor output,
    Optional<Tensor> outputBias) {

  /**
   * Checks that the tensors fit each other.
   *
   * @throws IllegalArgumentException naming the tensor whose shape does not fit
   */
  public LatentWeights {
    frequencies = frequencies.clone();
    int rotary = 2 * frequencies.length;
    requireDimensions("query", query, 2);
    requireDimensions("keyUp", keyUp, 3);
    requireDimensions("valueUp", valueUp, 3);
    requireDimensions("output", output, 2);
    long hidden = query.size(1);
    long kvHeads = keyUp.size(0);
    long latent = keyUp.size(2);
    long heads = output.size(1) / valueUp.size(1);
    if (heads < 1 || heads % kvHeads != 0) {
      throw new IllegalArgumentException(
          "output asks for %d heads, expected a multiple of keyUp's %d".formatted(heads, kvHeads));
    }
    require("query", query, heads * (rotary + keyUp.size(1)), hidden);
    require("down", down, latent, hidden);
    require("valueUp", valueUp, kvHeads, valueUp.size(1), latent);
    require("output", output, hidden, heads * valueUp.size(1));
    queryBias.ifPresent(bias -> require("queryBias", bias, query.size(0)));
    outputBias.ifPresent(bias -> require("outputBias", bias, hidden));
    rotaryKeyBias.ifPresent(bias -> require("rotaryKeyBias", bias, rotary));
    rotaryKey.ifPresent(key -> require("rotaryKey", key, rotary, hidden));
    if (rotaryKey.isPresent() != rotary > 0) {
      throw new IllegalArgumentException(
          "rotaryKey is %s, but there are %d frequencies"
              .formatted(rotaryKey.isPresent() ? "there" : "absent", rotary / 2));
    }
  }

  private static void requireDimensions(String name, Tensor tensor, int dimensions) {
    if (tensor.dim() != dimensions) {
      throw new IllegalArgumentException(
          "%s has %d dimensions, expected %d".formatted(name, tensor.dim(), dimensions));
    }
  }

  private static void require(String name, Tensor tensor, long... shape) {
    if (!Arrays.equals(shape, tensor.shape())) {
      throw new IllegalArgumentException(
          "%s has shape %s, expected %s"
              .formatted(name, Arrays.toString(tensor.shape()), Arrays.toString(shape)));
    }
  }

  @Override
  public float[] frequencies() {
    return frequencies.clone();
  }

  int kvHeads() {
    return (int) keyUp.size(0);
  }

  int heads() {
    return (int) (output.size(1) / valueUp.size(1));
  }

  /** R, the width of the rotary key. */
  int rotaryWidth() {
    return 2 * frequencies.length;
  }

  /** n, the width of a head's other keys. */
  int plainWidth() {
    return (int) keyUp.size(1);
  }

  /** d_v, the width of a head's value. */
  int valueWidth() {
    return (int) valueUp.size(1);
  }
}
