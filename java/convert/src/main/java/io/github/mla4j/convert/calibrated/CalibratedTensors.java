package io.github.mla4j.convert.calibrated;

import static io.github.mla4j.convert.source.DecoderTensors.inLayer;

import io.github.mla4j.convert.recipe.OutputTensor;
import io.github.mla4j.convert.source.ModelSource;
import io.github.mla4j.convert.torch.TensorValues;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.Tensor;

/** A layer's attention as tensors of the converted file (native/README.md). */
final class CalibratedTensors {
  private final ModelSource source;
  private final int layer;
  private final List<OutputTensor> tensors = new ArrayList<>();

  CalibratedTensors(ModelSource source, int layer) {
    this.source = source;
    this.layer = layer;
  }

  List<OutputTensor> of(LatentAttention latent) {
    matrix("attn_q.weight", latent.query());
    bias("attn_q.bias", latent.queryBias());
    latent.whole().ifPresent(this::wholeHeads);
    if (latent.rotaryKey().size(0) > 0) {
      matrix("attn_k.weight", latent.rotaryKey());
      bias("attn_k.bias", latent.rotaryKeyBias());
    }
    matrix("attn_kv_a.weight", latent.down());
    bias("attn_kv_a.bias", latent.downBias());
    // Stored as it is absorbed, q_lat = B_kᵀ · q: [kvHeads, C, d].
    factors("attn_k_b.weight", latent.keyUp().transpose(1, 2));
    factors("attn_v_b.weight", latent.valueUp());
    matrix("attn_output.weight", latent.output());
    bias("attn_output.bias", latent.outputBias());
    return tensors;
  }

  private void wholeHeads(WholeHeads heads) {
    vector("attn_q_norm.weight", heads.queryNorm());
    if (heads.rotaryQuery().size(1) > 0) {
      factors("attn_q_rope.weight", heads.rotaryQuery());
    }
    matrix("attn_k_in.weight", heads.key());
    bias("attn_k_in.bias", heads.keyBias());
    vector("attn_k_norm.weight", heads.keyNorm());
  }

  private void matrix(String suffix, Tensor values) {
    tensors.add(
        OutputTensor.derived(
            inLayer(layer, suffix),
            Math.toIntExact(values.size(0)),
            Math.toIntExact(values.size(1)),
            TensorValues.floats(values),
            source.tensor(inLayer(layer, "attn_q.weight")).type()));
  }

  private void factors(String suffix, Tensor values) {
    tensors.add(
        OutputTensor.factors(
            inLayer(layer, suffix),
            Math.toIntExact(values.size(0)),
            Math.toIntExact(values.size(1)),
            Math.toIntExact(values.size(2)),
            TensorValues.floats(values)));
  }

  /** A bias of zeros is not written. */
  private void bias(String suffix, Tensor values) {
    if (values.count_nonzero().item_long() > 0) {
      vector(suffix, values);
    }
  }

  private void vector(String suffix, Tensor values) {
    tensors.add(OutputTensor.vector(inLayer(layer, suffix), TensorValues.floats(values)));
  }
}
