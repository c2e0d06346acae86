package io.github.mla4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;

class ProfileTest {
  private static final Roofline ROOFLINE = new Roofline(2, 10e9, 50e9, 200e9);

  @Test
  void theLeastTimeIsTheLongerOfReadingAndMultiplying() {
    Work decode = new Work(90e6, 10e6, 50e6, 200e6);
    assertEquals(10e-3, ROOFLINE.readingSeconds(decode), 1e-12);
    assertEquals(2e-3, ROOFLINE.multiplyingSeconds(decode), 1e-12);
    assertEquals(10e-3, ROOFLINE.leastSeconds(decode), 1e-12);
    Work prefill = new Work(90e6, 10e6, 5e9, 20e9);
    assertEquals(200e-3, ROOFLINE.leastSeconds(prefill), 1e-12);
    assertEquals(0, ROOFLINE.leastSeconds(Work.NONE));
  }

  @Test
  void worksAddUp() {
    Work sum = new Work(1, 2, 3, 4).plus(new Work(10, 20, 30, 40));
    assertEquals(new Work(11, 22, 33, 44), sum);
    assertEquals(33, sum.bytes());
    assertEquals(77, sum.multiplyAdds());
    assertEquals(sum, sum.plus(Work.NONE));
    assertEquals(new Work(11, 66, 99, 132), sum.together(3));
  }

  @Test
  void whatIsOfNoOperationIsTheRest() {
    Profile profile =
        new Profile(
            2,
            1,
            1,
            10,
            List.of(
                new OperationProfile("a", 4, 1, Work.NONE),
                new OperationProfile("b", 2, 0.5, Work.NONE)));
    assertEquals(1.5, profile.waitingSeconds());
    assertEquals(2.5, profile.otherSeconds());
  }

  /** stories260K: 5 layers of 4 KV heads with keys and values of 8, F32 weights, 64 wide. */
  @Test
  void aTokenReadsAllWeightsAndItsDepth() {
    try (Model model = Model.load(SharedFiles.stories());
        Session session = model.newSession()) {
      Work first = session.countWork(0, 1);
      // Of the embedding's 512 rows only one.
      assertEquals(model.info().weightBytes() - 511 * 64 * 4, first.weightBytes());
      // 640 bytes of f16 a token: one read, one written.
      assertEquals(640 * 2, first.cacheBytes());
      assertEquals(640 * 102, session.countWork(100, 1).cacheBytes());
      assertEquals(0, first.integerMultiplyAdds());
      assertTrue(session.countWork(0, 100).floatMultiplyAdds() > 90 * first.floatMultiplyAdds());
      assertThrows(MlaException.class, () -> session.countWork(512, 1));
    }
  }

  @Test
  void everyOperationOfAGenerationIsTold() {
    try (Model model = Model.load(SharedFiles.stories());
        Session session = model.newSession(options -> options.threads(2))) {
      assertThrows(MlaException.class, session::profile);
      session.setProfiling(true);
      session.generate("Once upon a time", options -> options.maxTokens(10)).text();
      Profile profile = session.profile();
      assertEquals(2, profile.threads());
      assertEquals(session.length(), profile.tokens());
      assertEquals(10, profile.steps());
      assertEquals(12, profile.operations().size());
      double told = 0;
      for (OperationProfile each : profile.operations()) {
        // A plain model has nothing to absorb.
        assertEquals(
            !each.operation().equals("absorbed projections"), each.seconds() > 0, each.toString());
        told += each.seconds() + each.waitingSeconds();
      }
      assertTrue(told <= profile.seconds(), profile.toString());
      session.setProfiling(false);
      assertThrows(MlaException.class, session::profile);
    }
  }

  @Test
  void aBatchTellsOfAllItsStreams() {
    try (Model model = Model.load(SharedFiles.stories());
        Session one = model.newSession();
        Session other = model.newSession();
        Batch batch = model.newBatch(options -> options.maxSessions(2).threads(2))) {
      assertThrows(MlaException.class, batch::profile);
      batch.setProfiling(true);
      for (Session session : List.of(one, other)) {
        batch.add(session.generate("Once upon a time", options -> options.maxTokens(10)));
      }
      while (!batch.isEmpty()) {
        for (TokenStream stream : batch.step()) {
          while (stream.isReady()) {
            stream.next();
          }
        }
      }
      Profile profile = batch.profile();
      // The first tokens are drawn from the prompt's logits.
      assertEquals(9, profile.steps());
      assertEquals(18, profile.tokens());
      assertEquals(2, profile.threads());
      double told =
          profile.operations().stream()
              .mapToDouble(each -> each.seconds() + each.waitingSeconds())
              .sum();
      assertTrue(told > 0 && told <= profile.seconds(), profile.toString());
      batch.setProfiling(false);
      assertThrows(MlaException.class, batch::profile);
    }
  }
}
