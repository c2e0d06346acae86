package io.github.mla4j.convert.calibration;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.github.mla4j.CancelledException;
import io.github.mla4j.convert.linalg.FloatMatrix;
import io.github.mla4j.convert.recipe.ReferenceDecoder;
import io.github.mla4j.convert.source.Fixtures;
import io.github.mla4j.convert.source.HuggingFaceSource;
import io.github.mla4j.convert.source.ModelSource;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class LayerwiseForwardTest {
  private static final int[][] SEQUENCES = {
    new Random(7).ints(21, 0, 256).toArray(), {3}, new Random(8).ints(8, 0, 256).toArray()
  };

  static List<String> models() {
    return Fixtures.models();
  }

  @ParameterizedTest
  @MethodSource("models")
  void showsEachLayersProjections(String model) throws IOException {
    try (ModelSource source = HuggingFaceSource.open(Fixtures.source(model))) {
      ReferenceDecoder reference = ReferenceDecoder.of(source);
      List<Integer> seen = new ArrayList<>();
      List<Integer> done = new ArrayList<>();
      new LayerwiseForward(source)
          .run(
              SEQUENCES,
              (layer, queries, keys) -> {
                int[] tokens = SEQUENCES[seen.size() % SEQUENCES.length];
                assertClose(reference.projection(tokens, layer, "attn_q"), queries);
                assertClose(reference.projection(tokens, layer, "attn_k"), keys);
                seen.add(layer);
              },
              done::add);
      assertEquals(List.of(0, 0, 0, 1, 1, 1), seen);
      assertEquals(List.of(1, 2), done);
    }
  }

  @ParameterizedTest
  @MethodSource("models")
  void anInterruptCancels(String model) throws IOException {
    try (ModelSource source = HuggingFaceSource.open(Fixtures.source(model))) {
      LayerwiseForward forward = new LayerwiseForward(source);
      assertThrows(
          CancelledException.class,
          () ->
              forward.run(
                  SEQUENCES,
                  (layer, queries, keys) -> Thread.currentThread().interrupt(),
                  done -> {}));
    }
  }

  private static void assertClose(double[][] expected, FloatMatrix got) {
    assertEquals(expected.length, got.rows());
    float[] row = new float[got.columns()];
    for (int t = 0; t < expected.length; t++) {
      got.get(t, row);
      double[] wide = new double[row.length];
      for (int i = 0; i < wide.length; i++) {
        wide[i] = row[i];
      }
      assertArrayEquals(expected[t], wide, 1e-4);
    }
  }
}
