package io.github.mla4j.convert.source;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.mla4j.BadFileException;
import io.github.mla4j.CancelledException;
import io.github.mla4j.gguf.TensorType;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class SafetensorsFileTest {
  @TempDir Path folder;

  @Test
  void readsTheFloatTypes() throws IOException {
    ByteBuffer data = ByteBuffer.allocate(16 + 4 + 4).order(ByteOrder.LITTLE_ENDIAN);
    data.putFloat(1).putFloat(-2.5f).putFloat(Float.MIN_VALUE).putFloat(4);
    data.putShort((short) 0x3c00).putShort((short) 0x8001); // 1 and the smallest negative half
    data.putShort((short) 0x3f80).putShort((short) 0xc020); // 1 and -2.5
    SafetensorsFile file =
        open(
            """
            {"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},
             "b":{"dtype":"F16","shape":[2],"data_offsets":[16,20]},
             "c":{"dtype":"BF16","shape":[1,2],"data_offsets":[20,24]},
             "__metadata__":{"format":"pt"}}""",
            data.array());
    assertArrayEquals(new float[] {1, -2.5f, Float.MIN_VALUE, 4}, file.tensor("a").readAll());
    assertArrayEquals(new float[] {1, -0x1p-24f}, file.tensor("b").readAll());
    assertArrayEquals(new float[] {1, -2.5f}, file.tensor("c").readAll());
    assertEquals(TensorType.BF16, file.tensor("c").type());
    float[] row = new float[3];
    file.tensor("a").read(1, 1, row, 1);
    assertArrayEquals(new float[] {0, Float.MIN_VALUE, 4}, row);
    byte[] stored = new byte[5];
    file.tensor("b").readStored(0, 1, stored, 1);
    assertArrayEquals(new byte[] {0, 0, 0x3c, 1, (byte) 0x80}, stored);
  }

  @Test
  void halvesCoverTheirWholeRange() {
    assertEquals(65504f, HalfPrecision.fromF16((short) 0x7bff));
    assertEquals(0x1p-14f, HalfPrecision.fromF16((short) 0x0400));
    assertEquals(Float.NEGATIVE_INFINITY, HalfPrecision.fromF16((short) 0xfc00));
    assertTrue(Float.isNaN(HalfPrecision.fromF16((short) 0x7e00)));
    assertEquals(-0f, HalfPrecision.fromF16((short) 0x8000));
  }

  @Test
  void aFileCutShortWhileItIsReadIsAnError() throws IOException {
    SafetensorsFile file =
        open("{\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}", new byte[16]);
    try (FileChannel channel = FileChannel.open(file.path(), StandardOpenOption.WRITE)) {
      channel.truncate(channel.size() - 1);
    }
    WeightTensor tensor = file.tensor("a");
    BadFileException e = assertThrows(BadFileException.class, tensor::readAll);
    assertTrue(e.getMessage().contains("cut short"), e.getMessage());
    assertTrue(e.getMessage().contains(file.path().toString()), e.getMessage());
  }

  @Test
  void anInterruptedReaderIsToldSo() throws IOException {
    SafetensorsFile file =
        open("{\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}", new byte[16]);
    WeightTensor tensor = file.tensor("a");
    Thread.currentThread().interrupt();
    assertThrows(CancelledException.class, tensor::readAll);
    assertFalse(Thread.interrupted());
  }

  @Test
  void readsWholeNumbers() throws IOException {
    byte[] data = {(byte) 200, 1, (byte) 0xff, (byte) 0xff, (byte) 0xff, (byte) 0xff};
    SafetensorsFile file =
        open(
            """
            {"u":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},
             "i":{"dtype":"I32","shape":[1],"data_offsets":[2,6]}}""",
            data);
    assertArrayEquals(new long[] {200, 1}, file.integers("u"));
    assertArrayEquals(new long[] {-1}, file.integers("i"));
    assertThrows(BadFileException.class, () -> file.tensor("u"));
    assertThrows(BadFileException.class, () -> file.tensor("missing"));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "outside      | {'a':{'dtype':'F32','shape':[4],'data_offsets':[0,16]}}",
        "span         | {'a':{'dtype':'F32','shape':[3],'data_offsets':[0,8]}}",
        "overlaps     | {'a':{'dtype':'U8','shape':[6],'data_offsets':[0,6]},"
            + "'b':{'dtype':'U8','shape':[4],'data_offsets':[4,8]}}",
        "gaps         | {'a':{'dtype':'U8','shape':[2],'data_offsets':[0,2]},"
            + "'b':{'dtype':'U8','shape':[4],'data_offsets':[4,8]}}",
        "after        | {'a':{'dtype':'U8','shape':[4],'data_offsets':[0,4]}}",
        "unknown type | {'a':{'dtype':'F33','shape':[8],'data_offsets':[0,8]}}",
        "impossible   | {'a':{'dtype':'F32','shape':[4294967296,4294967296],'data_offsets':[0,8]}}",
        "at least 0   | {'a':{'dtype':'U8','shape':[-8],'data_offsets':[0,8]}}",
        "at least 0   | {'a':{'dtype':'U8','shape':[8],'data_offsets':[0,8e300]}}",
        "outside      | {'a':{'dtype':'U8','shape':[8],'data_offsets':[8,0]}}",
        "expected 2   | {'a':{'dtype':'U8','shape':[8],'data_offsets':[8]}}",
        "shape        | {'a':{'dtype':'U8','data_offsets':[0,8]}}",
        "Duplicate    | {'a':{'dtype':'U8','shape':[8],'data_offsets':[0,8]},"
            + "'a':{'dtype':'U8','shape':[8],'data_offsets':[0,8]}}",
        "not a JSON   | [1,2]",
        "not JSON     | {'a':",
      })
  void refusesContradictions(String problem, String header) {
    String message = failure(header.replace('\'', '"'), new byte[8]);
    assertTrue(message.contains(problem), message);
    assertTrue(message.contains("m.safetensors"), message);
  }

  @Test
  void refusesWhatIsNoSafetensorsFile() throws IOException {
    Path file = folder.resolve("m.safetensors");
    for (byte[] bytes :
        new byte[][] {
          {},
          {1, 2, 3},
          {(byte) 0xff, (byte) 0xff, (byte) 0xff, (byte) 0xff, 0, 0, 0, 0, '{', '}'},
          {-1, -1, -1, -1, -1, -1, -1, -1, '{', '}'},
          {(byte) 0x89, 'P', 'N', 'G', 13, 10, 26, 10, 0, 0, 0, 13},
          {0, 0, 0, 0, 0, 0, 0, 0}
        }) {
      Files.write(file, bytes);
      assertThrows(BadFileException.class, () -> SafetensorsFile.open(file));
    }
    assertThrows(IOException.class, () -> SafetensorsFile.open(folder));
    assertThrows(IOException.class, () -> SafetensorsFile.open(folder.resolve("none")));
  }

  @Test
  void refusesEveryTruncation() throws IOException {
    String header = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}";
    byte[] whole = bytes(header, new byte[16]);
    Path file = folder.resolve("m.safetensors");
    for (int length = 0; length < whole.length; length++) {
      Files.write(file, Arrays.copyOf(whole, length));
      assertThrows(BadFileException.class, () -> SafetensorsFile.open(file));
    }
  }

  @Test
  void shardsAreFoundByTheIndex() throws IOException {
    write("one.safetensors", "a", 1);
    write("two.safetensors", "b", 2);
    index("{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"}");
    SafetensorsFolder weights = SafetensorsFolder.open(folder);
    assertEquals(2, weights.tensor("b").readAll()[0]);
    assertEquals(2, weights.files().size());
    assertThrows(BadFileException.class, () -> weights.tensor("c"));
  }

  @Test
  void indexAndShardsMustAgree() throws IOException {
    assertTrue(folderFailure().contains("no weights"));
    index("{\"a\":\"one.safetensors\"}");
    assertTrue(folderFailure().contains("one.safetensors, named by"));
    write("one.safetensors", "b", 1);
    assertTrue(folderFailure().contains("does not hold it"));
    index("{\"a\":\"../outside.safetensors\"}");
    assertTrue(folderFailure().contains("not a file name in the folder"));
    index("{}");
    assertTrue(folderFailure().contains("weight_map"));
    Files.writeString(folder.resolve("model.safetensors.index.json"), "{");
    assertTrue(folderFailure().contains("not valid JSON"));
  }

  private String folderFailure() {
    return assertThrows(BadFileException.class, () -> SafetensorsFolder.open(folder)).getMessage();
  }

  private void index(String map) throws IOException {
    Files.writeString(
        folder.resolve("model.safetensors.index.json"), "{\"weight_map\":" + map + "}");
  }

  private void write(String file, String tensor, float value) throws IOException {
    byte[] data = ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putFloat(value).array();
    String header = "{\"%s\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";
    Files.write(folder.resolve(file), bytes(header.formatted(tensor), data));
  }

  private String failure(String header, byte[] data) {
    return assertThrows(BadFileException.class, () -> open(header, data)).getMessage();
  }

  private SafetensorsFile open(String header, byte[] data) throws IOException {
    Path file = folder.resolve("m.safetensors");
    Files.write(file, bytes(header, data));
    return SafetensorsFile.open(file);
  }

  private static byte[] bytes(String header, byte[] data) {
    byte[] json = header.getBytes(StandardCharsets.UTF_8);
    return ByteBuffer.allocate(8 + json.length + data.length)
        .order(ByteOrder.LITTLE_ENDIAN)
        .putLong(json.length)
        .put(json)
        .put(data)
        .array();
  }
}
