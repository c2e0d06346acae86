package io.github.mla4j.convert;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.mla4j.BadFileException;
import io.github.mla4j.CancelledException;
import io.github.mla4j.MlaException;
import io.github.mla4j.convert.source.Fixtures;
import io.github.mla4j.gguf.Gguf;
import io.github.mla4j.gguf.GgufTensor;
import io.github.mla4j.gguf.TensorType;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class ConverterTest {
  @TempDir Path folder;

  @Test
  void writesWhatItDid() throws IOException {
    List<Progress> seen = new ArrayList<>();
    ConversionReport report =
        Converter.convert(request(RopeSelection.HIGH, SvdMethod.JOINT, 8), seen::add);
    assertEquals(Files.size(output()), report.outputBytes());
    assertEquals(2 * 2 * 2 * 16, report.sourceElements());
    assertEquals(2 * (2 * 8 + 2 * 8), report.convertedElements());
    assertEquals(0.5, report.cacheFraction());
    assertEquals(1, seen.get(seen.size() - 1).fraction());
    assertEquals(3, seen.size(), "at the start and after each layer");
    try (Gguf file = Gguf.open(output())) {
      assertEquals(Optional.of("mha2mla"), file.string("general.architecture"));
      assertEquals(Optional.of("llama"), file.string("mha2mla.base_architecture"));
      assertEquals(Optional.of("high"), file.string("mha2mla.conversion.rope"));
      assertEquals(Optional.of("joint"), file.string("mha2mla.conversion.svd"));
      assertEquals(8, file.integer("mha2mla.conversion.rank").orElseThrow());
      assertEquals(0.5, file.real("mha2mla.conversion.reduction").orElseThrow());
      assertEquals(
          Optional.of(report.sourceSha256()), file.string("mha2mla.conversion.source_sha256"));
      assertEquals(64, report.sourceSha256().length());
      assertArrayEquals(
          new long[] {16, 16}, file.integers("mha2mla.attention.latent_lengths").orElseThrow());
      assertEquals(TensorType.F16, type(file, "blk.0.attn_kv_a.weight"), "factors");
      assertEquals(TensorType.F32, type(file, "blk.0.attn_q.weight"), "as the source has it");
      assertEquals(List.of(8L, 16L, 2L), file.tensor("blk.1.attn_k_b.weight").orElseThrow().dims());
    }
  }

  @ParameterizedTest
  @EnumSource(TensorType.class)
  void storesWeightsAsWished(TensorType type) throws IOException {
    ConversionReport report =
        Converter.convert(
            request(RopeSelection.LOW, SvdMethod.SPLIT, 4).withType(type), ProgressListener.none());
    // Rows of 64 elements are no blocks of 256.
    TensorType fitting =
        switch (type) {
          case Q3_K, IQ4_XS -> TensorType.IQ4_NL;
          case Q4_K -> TensorType.Q4_1;
          case Q5_K -> TensorType.Q5_1;
          case Q6_K -> TensorType.Q8_0;
          default -> type;
        };
    assertEquals(fitting != type, !report.notes().isEmpty());
    try (Gguf file = Gguf.open(output())) {
      assertEquals(fitting, type(file, "token_embd.weight"));
      assertEquals(fitting, type(file, "blk.1.ffn_down.weight"));
      assertEquals(TensorType.F32, type(file, "blk.1.ffn_norm.weight"));
      assertEquals(
          type == TensorType.F32 ? TensorType.F32 : TensorType.F16,
          type(file, "blk.0.attn_v_b.weight"));
    }
  }

  @Test
  void quantizedRowsAreMovedNotRequantized() throws IOException {
    Path plain = folder.resolve("plain.gguf");
    Converter.repack(
        source(), plain, Optional.of(TensorType.Q4_0), Optional.empty(), ProgressListener.none());
    Converter.convert(
        new ConvertRequest(plain, output(), RopeSelection.HIGH, 8, SvdMethod.JOINT, 8),
        ProgressListener.none());
    try (Gguf before = Gguf.open(plain);
        Gguf after = Gguf.open(output())) {
      byte[] rows = before.readBytes("blk.0.attn_q.weight");
      byte[] moved = after.readBytes("blk.0.attn_q.weight");
      assertEquals(TensorType.Q4_0, type(after, "blk.0.attn_q.weight"));
      int length = rows.length / 64;
      // Pairs (2i, 2i + 1) of the file's heads of 16; kept: the first four, as halves.
      int[] expected = {0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15};
      for (int row = 0; row < 64; row++) {
        int from = row / 16 * 16 + expected[row % 16];
        for (int i = 0; i < length; i++) {
          assertEquals(rows[from * length + i], moved[row * length + i], "row " + row);
        }
      }
    }
  }

  @Test
  void convertingTheRepackedFileIsConvertingTheFolder() throws IOException {
    Path plain = folder.resolve("plain.gguf");
    Converter.repack(source(), plain, Optional.empty(), Optional.empty(), ProgressListener.none());
    Converter.convert(request(RopeSelection.UNIFORM, SvdMethod.NONE, 0), ProgressListener.none());
    Path other = folder.resolve("other.gguf");
    Converter.convert(
        new ConvertRequest(plain, other, RopeSelection.UNIFORM, 8, SvdMethod.NONE, 0),
        ProgressListener.none());
    try (Gguf a = Gguf.open(output());
        Gguf b = Gguf.open(other)) {
      assertEquals(a.tensors(), b.tensors());
      for (GgufTensor tensor : a.tensors()) {
        assertArrayEquals(a.readBytes(tensor.name()), b.readBytes(tensor.name()), tensor.name());
      }
      assertArrayEquals(
          a.reals("mha2mla.rope.frequencies").orElseThrow(),
          b.reals("mha2mla.rope.frequencies").orElseThrow());
    }
  }

  @Test
  void aConvertedFileIsNotConvertedAgain() throws IOException {
    Converter.convert(request(RopeSelection.HIGH, SvdMethod.JOINT, 8), ProgressListener.none());
    ConvertRequest again =
        new ConvertRequest(
            output(), folder.resolve("again.gguf"), RopeSelection.HIGH, 8, SvdMethod.JOINT, 8);
    assertTrue(failure(MlaException.class, again).contains("converted already"));
  }

  @Test
  void aPaperCheckpointIsTakenAsItIs() throws IOException {
    Path paper = Fixtures.shared("fixtures/mha2mla/llama-gqa/high-joint-r8-d8");
    ConvertRequest same =
        new ConvertRequest(paper, output(), RopeSelection.HIGH, 8, SvdMethod.JOINT, 8);
    Converter.convert(same, ProgressListener.none());
    Path none = Fixtures.shared("fixtures/mha2mla/llama-gqa/high-none-r8-d0");
    Converter.convert(
        new ConvertRequest(none, output(), RopeSelection.HIGH, 8, SvdMethod.NONE, 7),
        ProgressListener.none());
    ConvertRequest other =
        new ConvertRequest(paper, output(), RopeSelection.LOW, 8, SvdMethod.JOINT, 8);
    assertTrue(failure(IllegalArgumentException.class, other).contains("converted already"));
  }

  @Test
  void anInterruptLeavesNoFile() throws IOException {
    Files.writeString(output(), "old");
    Thread.currentThread().interrupt();
    assertThrows(
        CancelledException.class,
        () ->
            Converter.convert(
                request(RopeSelection.HIGH, SvdMethod.JOINT, 8), ProgressListener.none()));
    assertFalse(Thread.interrupted(), "the interrupt was taken");
    assertEquals("old", Files.readString(output()));
    assertOnlyOutput();
  }

  @Test
  void aFailureLeavesNoFile() throws IOException {
    ProgressListener breaks =
        progress -> {
          if (progress.layer() == 1) {
            throw new IllegalStateException("broken");
          }
        };
    assertThrows(
        IllegalStateException.class,
        () -> Converter.convert(request(RopeSelection.HIGH, SvdMethod.JOINT, 8), breaks));
    assertFalse(Files.exists(output()));
    assertOnlyOutput();
  }

  @Test
  void refusesRequestsThatDoNotFit() throws IOException {
    ConvertRequest good = request(RopeSelection.HIGH, SvdMethod.JOINT, 8);
    assertTrue(
        failure(IllegalArgumentException.class, request(RopeSelection.TWO_NORM, SvdMethod.JOINT, 8))
            .contains("calibration"));
    assertTrue(
        failure(IllegalArgumentException.class, request(RopeSelection.HIGH, SvdMethod.JOINT, 99))
            .contains("rank 99"));
    failure(
        NoSuchFileException.class,
        new ConvertRequest(
            folder.resolve("none"), output(), good.rope(), 8, good.svd(), good.rank()));
    failure(
        NoSuchFileException.class,
        new ConvertRequest(
            source(), folder.resolve("no/out.gguf"), good.rope(), 8, good.svd(), good.rank()));
    assertTrue(
        failure(
                IllegalArgumentException.class,
                new ConvertRequest(source(), folder, good.rope(), 8, good.svd(), good.rank()))
            .contains("directory"));
    Path ids = Files.writeString(folder.resolve("ids.txt"), "1 2 3\n4 256\n");
    assertTrue(
        failure(
                BadFileException.class,
                request(RopeSelection.TWO_NORM, SvdMethod.JOINT, 8)
                    .withCalibration(new Calibration.Ids(ids)))
            .contains("ids.txt:2: '256'"));
  }

  @Test
  void refusesWhatIsNoModel() throws IOException {
    Path png = folder.resolve("image.png");
    Files.write(png, new byte[] {(byte) 0x89, 'P', 'N', 'G', 13, 10, 26, 10});
    ConvertRequest request =
        new ConvertRequest(png, output(), RopeSelection.HIGH, 8, SvdMethod.JOINT, 8);
    assertTrue(failure(MlaException.class, request).contains("image.png"));
    Path empty = Files.createDirectory(folder.resolve("empty"));
    request = new ConvertRequest(empty, output(), RopeSelection.HIGH, 8, SvdMethod.JOINT, 8);
    assertTrue(failure(BadFileException.class, request).contains("config.json"));
  }

  private <T extends Exception> String failure(Class<T> kind, ConvertRequest request) {
    return assertThrows(kind, () -> Converter.convert(request, ProgressListener.none()))
        .getMessage();
  }

  private void assertOnlyOutput() throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      assertTrue(files.allMatch(output()::equals));
    }
  }

  private static TensorType type(Gguf file, String tensor) {
    return file.tensor(tensor).orElseThrow().type();
  }

  private ConvertRequest request(RopeSelection rope, SvdMethod svd, int rank) {
    return new ConvertRequest(source(), output(), rope, 8, svd, rank);
  }

  private static Path source() {
    return Fixtures.shared("fixtures/mha2mla/llama-gqa/source");
  }

  private Path output() {
    return folder.resolve("out.gguf");
  }
}
