package io.github.mla4j.benchmarks.peers;

import io.github.mla4j.CacheOptions;
import io.github.mla4j.Mla;
import io.github.mla4j.Model;
import io.github.mla4j.Session;
import io.github.mla4j.eval.TokenClock;
import java.nio.file.Path;
import java.util.Arrays;

/** mla4j, measured as its peers are: in a process of its own, by the same steps. */
public final class Mla4jPeer implements Engine {
  private final Session session;
  private final int[] tokens;

  private Mla4jPeer(Job job) {
    Model model = Model.load(Path.of(job.model()));
    session =
        model.newSession(
            options ->
                options
                    .cache(CacheOptions.parse(job.cache()))
                    .contextLength(job.context())
                    .threads(job.threads()));
    tokens = job.tokens();
  }

  public static void main(String[] args) {
    PeerMain.run(Mla4jPeer::new);
  }

  @Override
  public String name() {
    return "mla4j";
  }

  @Override
  public String build() {
    return Mla.systemInfo().isa();
  }

  @Override
  public long run(Step step) {
    session.rewind(step.at());
    int[] some = Arrays.copyOfRange(tokens, step.at(), step.at() + step.count());
    return step.singly() ? TokenClock.singly(session, some) : TokenClock.together(session, some);
  }
}
