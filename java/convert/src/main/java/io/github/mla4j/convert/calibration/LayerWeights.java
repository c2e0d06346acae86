package io.github.mla4j.convert.calibration;

import static io.github.mla4j.convert.source.DecoderTensors.inLayer;

import io.github.mla4j.convert.linalg.FloatMatrix;
import io.github.mla4j.convert.source.ModelSource;
import io.github.mla4j.convert.source.WeightTensor;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** One layer of a plain model, dequantized. */
final class LayerWeights implements AutoCloseable {
  // Floats read from the source at a time.
  private static final int SLICE = 1 << 20;

  private final ModelSource source;
  private final int layer;
  private final List<FloatMatrix> owned = new ArrayList<>();

  final float[] attentionNorm;
  final Projection query;
  final Projection key;
  final Projection value;
  final Optional<float[]> queryNorm;
  final Optional<float[]> keyNorm;
  final Projection output;
  final float[] feedForwardNorm;
  final Projection gate;
  final Projection up;
  final Projection down;

  /** y = W x + b. */
  record Projection(FloatMatrix weight, Optional<float[]> bias) {}

  LayerWeights(ModelSource source, int layer) throws IOException {
    this.source = source;
    this.layer = layer;
    boolean complete = false;
    try {
      attentionNorm = source.tensor(inLayer(layer, "attn_norm.weight")).readAll();
      query = projection("attn_q");
      key = projection("attn_k");
      value = projection("attn_v");
      queryNorm = vector("attn_q_norm.weight");
      keyNorm = vector("attn_k_norm.weight");
      output = projection("attn_output");
      feedForwardNorm = source.tensor(inLayer(layer, "ffn_norm.weight")).readAll();
      gate = projection("ffn_gate");
      up = projection("ffn_up");
      down = projection("ffn_down");
      complete = true;
    } finally {
      if (!complete) {
        close();
      }
    }
  }

  private Projection projection(String module) throws IOException {
    WeightTensor tensor = source.tensor(inLayer(layer, module + ".weight"));
    FloatMatrix matrix = new FloatMatrix(tensor.rows(), tensor.columns());
    owned.add(matrix);
    int step = Math.max(1, SLICE / tensor.columns());
    for (int row = 0; row < tensor.rows(); row += step) {
      int count = Math.min(step, tensor.rows() - row);
      float[] slice = new float[count * tensor.columns()];
      tensor.read(row, count, slice, 0);
      matrix.put(row, slice);
    }
    return new Projection(matrix, vector(module + ".bias"));
  }

  private Optional<float[]> vector(String name) throws IOException {
    return source.find(inLayer(layer, name)).map(WeightTensor::readAll);
  }

  @Override
  public void close() {
    owned.forEach(FloatMatrix::close);
  }
}
