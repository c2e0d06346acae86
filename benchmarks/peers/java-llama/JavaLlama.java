import de.kherud.llama.InferenceParameters;
import de.kherud.llama.LlamaModel;
import de.kherud.llama.LlamaOutput;
import de.kherud.llama.ModelParameters;
import de.kherud.llama.args.CacheType;
import io.github.mla4j.benchmarks.peers.Engine;
import io.github.mla4j.benchmarks.peers.Job;
import io.github.mla4j.benchmarks.peers.PeerMain;
import io.github.mla4j.benchmarks.peers.Step;
import java.util.List;
import java.util.Locale;

/**
 * java-llama.cpp, whose API takes and gives text alone: a text that encodes to the job's tokens. A
 * prompt is timed with the first token that follows it; single tokens are those that it then
 * generates, greedily, from the arrival of the first to the end.
 */
public final class JavaLlama implements Engine {
  private final LlamaModel model;
  private final List<String> pieces;

  private JavaLlama(Job job) {
    if (job.pieces().isEmpty()) {
      throw new IllegalArgumentException(
          "it takes text, and this model's vocabulary has no words that encode to themselves");
    }
    CacheType type = CacheType.valueOf(job.cache().toUpperCase(Locale.ROOT));
    ModelParameters parameters =
        new ModelParameters()
            .setModel(job.model())
            .setCtxSize(job.context() + 1)
            .setThreads(job.threads())
            .setThreadsBatch(job.threads())
            .setGpuLayers(0)
            .setCacheTypeK(type)
            .setCacheTypeV(type);
    if (job.flags().contains("flash")) {
      parameters.enableFlashAttn();
    }
    model = new LlamaModel(parameters);
    pieces = job.pieces();
    int encoded = model.encode(text(pieces.size())).length;
    if (encoded != pieces.size()) {
      throw new IllegalStateException(
          "the text of %d tokens has %d here".formatted(pieces.size(), encoded));
    }
  }

  public static void main(String[] args) {
    PeerMain.run(JavaLlama::new);
  }

  @Override
  public String name() {
    return "llama.cpp of de.kherud:llama 4.2.0";
  }

  @Override
  public String build() {
    return "prebuilt; does not tell, its code has no AVX-512";
  }

  @Override
  public long run(Step step) {
    int prompt = step.singly() ? Math.max(1, step.at()) : step.at() + step.count();
    InferenceParameters parameters =
        new InferenceParameters(text(prompt))
            .setCachePrompt(step.at() > 0)
            .setIgnoreEos(true)
            .setTemperature(0)
            .setNPredict(step.singly() ? step.count() + 1 : 1);
    long start = System.nanoTime();
    long first = 0;
    for (LlamaOutput ignored : model.generate(parameters)) {
      if (first == 0) {
        first = System.nanoTime();
      }
    }
    return System.nanoTime() - (step.singly() ? first : start);
  }

  private String text(int tokens) {
    return String.join("", pieces.subList(0, tokens));
  }
}
