package io.github.mla4j.gguf;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.mla4j.BadFileException;
import io.github.mla4j.ClosedException;
import io.github.mla4j.MlaException;
import io.github.mla4j.Status;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class GgufTest {
  @TempDir Path folder;

  @Test
  void whatIsWrittenIsRead() {
    Path file = folder.resolve("naïve-北京.gguf"); // the platform's charset must not matter
    float[] matrix = {1, 2, 3, 4, 5, 6};
    float[] row = new float[32];
    row[3] = 127;
    try (GgufWriter writer = GgufWriter.create(file)) {
      writer
          .set("general.architecture", "test")
          .set("text", "grüße \uD83E\uDD99")
          .set("list", List.of("", "a", "北"))
          .set("empty", List.of())
          .set("flag", true)
          .set("size", 7)
          .set("epsilon", 1e-5f)
          .set("ranks", new int[] {3, -1})
          .set("frequencies", new float[] {1, 0.5f})
          .setInteger("big", ValueType.U64, -1)
          .setIntegers("bytes", ValueType.U8, new long[] {0, 255})
          .setReals("precise", ValueType.F64, new double[] {Math.PI})
          .tensor("matrix", TensorType.F32, matrix, 3, 2)
          .tensor("quantized", TensorType.Q8_0, row, 32)
          .beginTensor("parts", TensorType.F32, 1, 2)
          .append(FloatBuffer.wrap(new float[] {8}))
          .append(direct(9));
      writer.finish();
    }
    try (Gguf read = Gguf.open(file)) {
      assertEquals(Optional.of("grüße \uD83E\uDD99"), read.string("text"));
      assertEquals(Optional.of(List.of("", "a", "北")), read.strings("list"));
      assertEquals(Optional.of(List.of()), read.strings("empty"));
      assertEquals(Optional.of(true), read.bool("flag"));
      assertEquals(7, read.integer("size").getAsLong());
      assertEquals(1e-5f, (float) read.real("epsilon").getAsDouble());
      assertEquals(7, read.real("size").getAsDouble());
      assertArrayEquals(new long[] {3, -1}, read.integers("ranks").get());
      assertArrayEquals(new double[] {1, 0.5}, read.reals("frequencies").get());
      assertEquals(-1, read.integer("big").getAsLong());
      assertArrayEquals(new long[] {0, 255}, read.integers("bytes").get());
      assertArrayEquals(new double[] {Math.PI}, read.reals("precise").get());
      assertEquals(
          Optional.of(new GgufKey("ranks", ValueType.ARRAY, ValueType.I32, 2)), read.key("ranks"));
      assertEquals(12, read.keys().size());

      assertTrue(read.string("absent").isEmpty());
      assertTrue(read.integer("absent").isEmpty());
      assertTrue(read.tensor("absent").isEmpty());

      assertEquals(
          List.of("matrix", "quantized", "parts"),
          read.tensors().stream().map(GgufTensor::name).toList());
      GgufTensor tensor = read.tensor("matrix").get();
      assertEquals(new GgufTensor("matrix", TensorType.F32, List.of(3L, 2L), 24), tensor);
      assertEquals(6, tensor.elements());
      assertArrayEquals(matrix, read.readFloats("matrix"));
      assertArrayEquals(row, read.readFloats("quantized"));
      assertEquals(34, read.readBytes("quantized").length);
      read.releasePages();
      assertArrayEquals(row, read.readFloats("quantized"));
      assertArrayEquals(new float[] {8, 9}, read.readFloats("parts"));
      FloatBuffer middle = FloatBuffer.allocate(4).position(1).limit(3);
      read.readFloats("matrix", 2, middle);
      assertArrayEquals(new float[] {0, 3, 4, 0}, middle.array());
      assertEquals(3, middle.position());
      FloatBuffer direct = direct(0);
      read.readFloats("matrix", 5, direct);
      assertEquals(6, direct.get(0));
    }
  }

  @Test
  void keysAndDataCanBeCopied() {
    try (GgufWriter first = GgufWriter.inMemory();
        GgufWriter second = GgufWriter.inMemory()) {
      first.set("list", List.of("x", "y")).tensor("t", TensorType.F16, new float[] {2}, 1);
      first.finish();
      try (Gguf source = first.reader()) {
        second.copyKey(source, "list").beginTensor("t", TensorType.F16, 1);
        second.appendBytes(source.readBytes("t")).finish();
        MlaException e =
            assertThrows(MlaException.class, () -> second.copyKey(source, "missing key"));
        assertEquals(Status.NOT_FOUND, e.status());
        assertTrue(e.getMessage().contains("missing key"), e.getMessage());
      }
      try (Gguf copy = second.reader()) {
        assertEquals(Optional.of(List.of("x", "y")), copy.strings("list"));
        assertArrayEquals(new float[] {2}, copy.readFloats("t"));
      }
    }
  }

  @Test
  void aKeyOfAnotherTypeIsAnErrorThatNamesIt() {
    try (GgufWriter writer = GgufWriter.inMemory()) {
      writer.set("size", 3).set("ids", new int[] {1, 2});
      writer.finish();
      try (Gguf read = writer.reader()) {
        for (String key : List.of("size", "ids")) {
          String message =
              assertThrows(BadFileException.class, () -> read.string(key)).getMessage();
          assertTrue(message.contains(key), message);
        }
        assertThrows(BadFileException.class, () -> read.integer("ids"));
        assertThrows(BadFileException.class, () -> read.bool("size"));
      }
    }
  }

  @Test
  void badFilesAreErrorsThatNameTheFile() throws IOException {
    Path absent = folder.resolve("absent.gguf");
    MlaException e = assertThrows(MlaException.class, () -> Gguf.open(absent));
    assertEquals(Status.NOT_FOUND, e.status());
    assertTrue(e.getMessage().contains("absent.gguf"), e.getMessage());

    Path noise = Files.write(folder.resolve("noise.gguf"), new byte[100]);
    String message = assertThrows(BadFileException.class, () -> Gguf.open(noise)).getMessage();
    assertTrue(message.contains("noise.gguf"), message);
    assertThrows(MlaException.class, () -> Gguf.open(folder));
  }

  @Test
  void anUnfinishedFileLeavesNoTrace() throws IOException {
    try (GgufWriter writer = GgufWriter.create(folder.resolve("never.gguf"))) {
      writer.set("key", "value");
    }
    try (Stream<Path> files = Files.list(folder)) {
      assertEquals(List.of(), files.toList());
    }
  }

  @Test
  void afterCloseEveryCallSaysSo() {
    GgufWriter writer = GgufWriter.inMemory();
    writer.set("key", "value").finish();
    Gguf read = writer.reader();
    writer.close();
    writer.close();
    assertEquals(Optional.of("value"), read.string("key")); // owns its bytes
    read.close();
    read.close();
    assertThrows(ClosedException.class, () -> read.string("key"));
    assertThrows(ClosedException.class, read::keys);
    ClosedException e = assertThrows(ClosedException.class, () -> writer.set("key", 1));
    assertFalse(e.getMessage().isEmpty());
    assertEquals(Status.CLOSED, e.status());
  }

  private static FloatBuffer direct(float value) {
    FloatBuffer buffer =
        ByteBuffer.allocateDirect(4).order(ByteOrder.nativeOrder()).asFloatBuffer();
    return buffer.put(value).flip();
  }
}
