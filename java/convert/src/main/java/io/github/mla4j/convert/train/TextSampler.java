package io.github.mla4j.convert.train;

import io.github.mla4j.convert.torch.LlamaModule;
import io.github.mla4j.convert.torch.TorchScope;
import java.util.Arrays;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.AbstractTensor;
import org.bytedeco.pytorch.Tensor;

/**
 * Lets a model under training write, to look at. Computes the whole text anew for every token; the
 * engine with a cache is mla4j-core.
 */
final class TextSampler {
  private final LlamaModule model;
  private final double temperature;
  private final SplittableRandom random;

  TextSampler(LlamaModule model, double temperature, long seed) {
    this.model = model;
    this.temperature = temperature;
    random = new SplittableRandom(seed);
  }

  /** The prompt and up to {@code count} tokens after it, as far as the context reaches. */
  int[] write(int[] prompt, int count) {
    int[] tokens = prompt;
    for (int i = 0; i < count && tokens.length < model.shape().context(); i++) {
      int next = draw(scores(tokens));
      tokens = Arrays.copyOf(tokens, tokens.length + 1);
      tokens[tokens.length - 1] = next;
    }
    return tokens;
  }

  private float[] scores(int[] tokens) {
    long[] ids = Arrays.stream(tokens).asLongStream().toArray();
    return TorchScope.computeWithoutGradients(
        () -> {
          Tensor logits = model.logits(AbstractTensor.create(ids, 1, ids.length));
          Tensor last = logits.narrow(1, ids.length - 1, 1).contiguous();
          float[] scores = new float[model.shape().vocabulary()];
          last.data_ptr_float().get(scores);
          return scores;
        });
  }

  private int draw(float[] scores) {
    double highest = Double.NEGATIVE_INFINITY;
    for (float score : scores) {
      highest = Math.max(highest, score);
    }
    double[] weights = new double[scores.length];
    double sum = 0;
    for (int i = 0; i < scores.length; i++) {
      weights[i] = Math.exp((scores[i] - highest) / temperature);
      sum += weights[i];
    }
    double left = random.nextDouble() * sum;
    int token = 0;
    while (token < weights.length - 1 && left >= weights[token]) {
      left -= weights[token++];
    }
    return token;
  }
}
