package io.github.mla4j;

import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import java.util.Map;
import org.junit.jupiter.api.Test;

class AllocationTest {
  /** A Token of 24 bytes, its String of 24 and the String's array of 24 or so, and no more. */
  @Test
  void aTokenAllocatesItselfAndItsText() {
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    int tokens = 400;
    try (Model model = Model.load(SharedFiles.stories());
        Session session = model.newSession(s -> s.threads(1))) {
      int end = model.tokenizer().eos().getAsInt();
      long least = Long.MAX_VALUE;
      for (int round = 0; round < 3; round++) {
        session.rewind(0);
        TokenStream stream =
            session.generate(
                "Once", g -> g.maxTokens(tokens).logitBias(Map.of(end, Float.NEGATIVE_INFINITY)));
        stream.next();
        long before = threads.getCurrentThreadAllocatedBytes();
        int count = 0;
        while (stream.hasNext()) {
          stream.next();
          count++;
        }
        least = Math.min(least, (threads.getCurrentThreadAllocatedBytes() - before) / count);
      }
      assertTrue(least <= 96, least + " bytes a token");
    }
  }
}
