package io.github.mla4j.convert;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.mla4j.CacheType;
import io.github.mla4j.MlaException;
import io.github.mla4j.Model;
import io.github.mla4j.Session;
import io.github.mla4j.convert.output.Sha256;
import io.github.mla4j.convert.source.Fixtures;
import io.github.mla4j.convert.source.GgufSource;
import io.github.mla4j.gguf.Gguf;
import io.github.mla4j.gguf.GgufKey;
import io.github.mla4j.gguf.GgufTensor;
import io.github.mla4j.gguf.GgufWriter;
import io.github.mla4j.gguf.TensorType;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A real small model in a GGUF file as the source. */
class GgufSourceTest {
  @TempDir Path folder;

  @Test
  void allDimsRotaryIsTheSource() throws IOException {
    Path output = convert(RopeSelection.HIGH, 8, SvdMethod.NONE, 0);
    assertArrayEquals(logits(source()), logits(output), 1e-3f);
  }

  @Test
  void theVocabularyGoesAlong() throws IOException {
    Path output = convert(RopeSelection.HIGH, 4, SvdMethod.JOINT, 8);
    try (Model before = Model.load(source());
        Model after = Model.load(output)) {
      int[] ids = before.tokenizer().encode("Once upon a time");
      assertTrue(ids.length > 3);
      assertArrayEquals(ids, after.tokenizer().encode("Once upon a time"));
    }
  }

  @Test
  void textCalibratesTheTwoNormChoice() throws IOException {
    Path text =
        Files.writeString(folder.resolve("text.txt"), "There was a little girl. ".repeat(9));
    Path output = folder.resolve("out.gguf");
    Converter.convert(
        new ConvertRequest(source(), output, RopeSelection.TWO_NORM, 4, SvdMethod.JOINT, 8)
            .withCalibration(new Calibration.Text(text)),
        ProgressListener.none());
    try (Gguf file = Gguf.open(output)) {
      assertEquals(
          Sha256.of(List.of(text)),
          file.string("mha2mla.conversion.calibration_sha256").orElseThrow());
      double[] frequencies = file.reals("mha2mla.rope.frequencies").orElseThrow();
      assertEquals(5 * 4 * 2, frequencies.length);
    }
  }

  @Test
  void damageIsNamed() throws IOException {
    assertTrue(
        failure("llama.attention.head_count", "", 0).contains("attention.head_count' is missing"));
    assertTrue(failure("", "blk.3.attn_k.weight", 0).contains("blk.3.attn_k.weight' is missing"));
    assertTrue(failure("", "blk.2.ffn_up.weight", 1).contains("blk.2.ffn_up.weight' is ["));
  }

  /** What opening says of a copy without a key, or with a tensor left out or too short. */
  private String failure(String withoutKey, String tensor, int keptRows) throws IOException {
    Path copy = folder.resolve("copy.gguf");
    try (Gguf file = Gguf.open(source());
        GgufWriter writer = GgufWriter.create(copy)) {
      for (GgufKey key : file.keys()) {
        if (!key.name().equals(withoutKey)) {
          writer.copyKey(file, key.name());
        }
      }
      for (GgufTensor each : file.tensors()) {
        long[] dims = each.dims().stream().mapToLong(Long::longValue).toArray();
        float[] values = file.readFloats(each.name());
        if (each.name().equals(tensor)) {
          if (keptRows == 0) {
            continue;
          }
          dims[1] = keptRows;
          values = Arrays.copyOf(values, (int) dims[0] * keptRows);
        }
        writer.tensor(each.name(), TensorType.F32, values, dims);
      }
      writer.finish();
    }
    return assertThrows(MlaException.class, () -> GgufSource.open(copy)).getMessage();
  }

  private Path convert(RopeSelection rope, int ropeDims, SvdMethod svd, int rank)
      throws IOException {
    Path output = folder.resolve("out.gguf");
    Converter.convert(
        new ConvertRequest(source(), output, rope, ropeDims, svd, rank), ProgressListener.none());
    return output;
  }

  private static float[] logits(Path file) {
    try (Model model = Model.load(file);
        Session session =
            model.newSession(s -> s.cache(CacheType.F32).contextLength(32).threads(1))) {
      float[][] rows = session.logitsAll(model.tokenizer().encode("Once upon a time, there was"));
      return rows[rows.length - 1];
    }
  }

  private static Path source() {
    return Fixtures.shared("models/stories260K.gguf");
  }
}
