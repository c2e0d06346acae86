package io.github.mla4j.convert.source;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.mla4j.BadFileException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PaperCheckpointTest {
  @TempDir Path parent;
  private Path folder;

  @BeforeEach
  void copyTheCheckpointAlone() throws IOException {
    Path original = Fixtures.shared("fixtures/mha2mla/llama-gqa/2norm-joint-r8-d8");
    folder = Files.createDirectory(parent.resolve("model"));
    for (String name : new String[] {"config.json", "model.safetensors"}) {
      Files.copy(original.resolve(name), folder.resolve(name));
    }
  }

  @Test
  void aTwoNormChoiceNeedsItsRanks() {
    assertTrue(failure(Optional.empty()).contains("two_norm_rank"));
    assertTrue(failure(Optional.of(parent.resolve("none"))).contains("no such file"));
  }

  @Test
  void ranksAreATensorBesideTheCheckpointOrAFileOfTheirName() throws IOException {
    byte[] ranks = ranks();
    Files.write(parent.resolve("some.safetensors"), safetensors("two_norm_rank", ranks));
    assertRead(Optional.empty());
    Files.delete(parent.resolve("some.safetensors"));
    Files.write(folder.resolve("two_norm_rank"), torch(ranks));
    assertRead(Optional.empty());
    Files.delete(folder.resolve("two_norm_rank"));
    Path other = Files.write(parent.resolve("ranks"), safetensors("other", ranks));
    assertRead(Optional.of(other));
  }

  @Test
  void ranksMustBeRankings() throws IOException {
    byte[] ranks = ranks();
    Files.write(folder.resolve("two_norm_rank"), torch(new byte[7]));
    assertTrue(failure(Optional.empty()).contains("7 ranks"));
    ranks[17] = ranks[16];
    Files.write(folder.resolve("two_norm_rank"), torch(ranks));
    assertTrue(failure(Optional.empty()).contains("layer 0, KV head 1"));
  }

  @Test
  void settingsAreChecked() throws IOException {
    edit("\"partial_rope_version\": \"2-norm\"", "\"partial_rope_version\": \"best\"");
    assertTrue(failure(Optional.empty()).contains("high, low, uniform or 2-norm"));
    edit("\"best\"", "\"high\"");
    edit("\"is_gqa2mha2mla\": false", "\"is_gqa2mha2mla\": true");
    assertTrue(failure(Optional.empty()).contains("is_gqa2mha2mla"));
    edit("\"is_gqa2mha2mla\": true", "\"is_gqa2mha2mla\": false");
    edit("\"is_baseline\": false", "\"is_baseline\": true");
    assertFalse(PaperCheckpoint.isOne(folder), "a baseline was not converted");
  }

  @Test
  void missingTensorsAreNamed() throws IOException {
    edit("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
    assertTrue(failure(Optional.empty()).contains("two_norm_rank"));
    edit("\"2-norm\"", "\"high\"");
    assertTrue(failure(Optional.empty()).contains("model.layers.2.input_layernorm.weight"));
  }

  private void edit(String from, String to) throws IOException {
    Path config = folder.resolve("config.json");
    String text = Files.readString(config);
    assertTrue(text.contains(from), from);
    Files.writeString(config, text.replace(from, to));
  }

  private void assertRead(Optional<Path> file) throws IOException {
    int[][][] ranks = PaperCheckpoint.open(folder, file).pairRanks();
    assertArrayEquals(new int[] {3, 4, 5, 6, 7, 0, 1, 2}, ranks[1][1]);
  }

  private String failure(Optional<Path> file) {
    return assertThrows(BadFileException.class, () -> PaperCheckpoint.open(folder, file))
        .getMessage();
  }

  /** [2 layers, 2 KV heads, 16 dims], the pairs' order turned by head and layer. */
  private static byte[] ranks() {
    byte[] ranks = new byte[64];
    for (int i = 0; i < 64; i++) {
      int head = i / 16;
      ranks[i] = (byte) ((i % 8 + head) % 8);
    }
    return ranks;
  }

  private static byte[] safetensors(String tensor, byte[] data) {
    byte[] header =
        "{\"%s\":{\"dtype\":\"U8\",\"shape\":[2,2,16],\"data_offsets\":[0,64]}}"
            .formatted(tensor)
            .getBytes(StandardCharsets.UTF_8);
    return ByteBuffer.allocate(8 + header.length + data.length)
        .order(ByteOrder.LITTLE_ENDIAN)
        .putLong(header.length)
        .put(header)
        .put(data)
        .array();
  }

  /** The entries of an archive of torch.save that matter here. */
  private static byte[] torch(byte[] data) throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (ZipOutputStream zip = new ZipOutputStream(bytes)) {
      entry(zip, "ranks/data.pkl", new byte[] {1, 2, 3});
      entry(zip, "ranks/data/0", data);
    }
    return bytes.toByteArray();
  }

  private static void entry(ZipOutputStream zip, String name, byte[] data) throws IOException {
    zip.putNextEntry(new ZipEntry(name));
    zip.write(data);
    zip.closeEntry();
  }
}
