package io.github.mla4j.convert.heal;

import io.github.mla4j.convert.torch.TorchScope;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

/**
 * How far the student's residual streams are from the teacher's: a layer's loss is the sum of
 * squared differences over the sum of the teacher's squares. It tells every layer what to do, where
 * the distributions at the end tell only all of them together. Owns the teacher's streams. Not
 * thread-safe.
 */
final class StreamLoss implements AutoCloseable {
  // See java/convert/README.md for what was measured.
  private static final double FIRST_WEIGHT = 0.3;
  // The first tokens' streams are hundreds of times larger and say nothing of the text.
  private static final int LEFT_OUT = 4;

  private final double weight;
  private final int batch;
  private final List<Tensor> wanted = new ArrayList<>();

  /**
   * What suits a run: much at first, where it is the shorter way, and nothing at the end, since the
   * streams that a small cache predicts best from are not the teacher's.
   *
   * @param done share of the run that is done, 0 to 1
   */
  static double weight(double done) {
    return FIRST_WEIGHT * (1 - done) * (1 - done);
  }

  /**
   * @param weight of a layer's loss in the sum of all
   * @param batch sequences in a stream
   */
  StreamLoss(double weight, int batch) {
    this.weight = weight;
    this.batch = batch;
  }

  /** Keeps a copy of the teacher's stream after the next layer, [batch · T, D]. */
  void teach(Tensor stream) {
    wanted.add(TorchScope.keep(stream.clone()));
  }

  /**
   * Adds the gradient by the student's stream after a layer.
   *
   * @param layer counted from 0
   * @param stream the student's, [batch · T, D]
   * @param byStream added to, of the same shape
   */
  void addGradient(int layer, Tensor stream, Tensor byStream) {
    long t = stream.size(0) / batch;
    // The last layer's stream is what the distributions are made of.
    if (t <= LEFT_OUT || layer == wanted.size() - 1) {
      return;
    }
    TorchScope.runWithoutGradients(
        () -> {
          Tensor theirs = counted(wanted.get(layer), t);
          Tensor size = theirs.square().sum();
          Tensor difference = counted(stream, t).sub(theirs).div_(size);
          counted(byStream, t).add_(difference, new Scalar(2 * weight));
        });
  }

  private Tensor counted(Tensor stream, long t) {
    return stream.view(batch, t, stream.size(1)).narrow(1, LEFT_OUT, t - LEFT_OUT);
  }

  @Override
  public void close() {
    wanted.forEach(TorchScope::release);
    wanted.clear();
  }
}
