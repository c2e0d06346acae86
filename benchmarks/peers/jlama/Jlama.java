import com.github.tjake.jlama.model.AbstractModel;
import com.github.tjake.jlama.model.ModelSupport;
import com.github.tjake.jlama.safetensors.DType;
import com.github.tjake.jlama.tensor.AbstractTensor;
import com.github.tjake.jlama.tensor.KvBufferCache;
import com.github.tjake.jlama.tensor.KvBufferCache.KvBuffer;
import com.github.tjake.jlama.tensor.operations.TensorOperationsProvider;
import io.github.mla4j.benchmarks.peers.Engine;
import io.github.mla4j.benchmarks.peers.Job;
import io.github.mla4j.benchmarks.peers.PeerMain;
import io.github.mla4j.benchmarks.peers.Step;
import java.io.File;
import java.util.Arrays;
import java.util.Optional;

/**
 * Jlama, which reads a Hugging Face folder: weights as they are in it, activations quantized to 8
 * bits where it can, a cache of 32-bit floats. Tokens go in as they are; its sampler computes the
 * logits, and the greatest of them, after every prompt and every single token.
 */
public final class Jlama implements Engine {
  private final AbstractModel model;
  private final KvBuffer cache;
  private final AbstractTensor logits;
  private final int[] tokens;

  private Jlama(Job job) {
    model =
        ModelSupport.loadModel(
            new File(job.model()),
            new File(System.getProperty("java.io.tmpdir")),
            DType.F32,
            DType.I8,
            Optional.empty(), // quantizing as it loads leaves half of the matrices out
            Optional.of(job.threads()));
    cache = new KvBufferCache(model).getEphemeralKvBuffer();
    logits = model.makeDenseTensor(model.getConfig().vocabularySize);
    tokens = job.tokens();
  }

  public static void main(String[] args) {
    PeerMain.run(Jlama::new);
  }

  @Override
  public String name() {
    return "Jlama 0.8.4";
  }

  @Override
  public String build() {
    return TensorOperationsProvider.get().name() + ", Java " + Runtime.version();
  }

  @Override
  public long run(Step step) {
    cache.setCurrentContextPosition(step.at());
    int end = step.at() + step.count();
    long start = System.nanoTime();
    if (step.singly()) {
      for (int i = step.at(); i < end; i++) {
        sample(model.forward(tokens[i], i, cache, Optional.empty()));
        cache.incrementContextPosition();
      }
    } else {
      int[] some = Arrays.copyOfRange(tokens, step.at(), end);
      sample(model.batchForward(some, step.at(), cache));
    }
    return System.nanoTime() - start;
  }

  private void sample(AbstractTensor output) {
    try (output) {
      model.sample(output.slice(output.shape().first() - 1), 0, 0, logits);
    }
  }
}
