package io.github.mla4j.benchmarks.peers;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class InstallerTest {
  @TempDir private Path home;

  private final List<String> told = new ArrayList<>();
  private Path model;
  private Path folder;

  /** A Python that is a shell, with the package that is asked for. */
  @BeforeEach
  void install() throws IOException {
    Path python = home.resolve("build/gguf/bin/python");
    Files.createDirectories(python.getParent());
    Files.writeString(python, "#!/bin/sh\nexec sh \"$@\"\n");
    assertTrue(python.toFile().setExecutable(true));
    Files.writeString(home.resolve("build/gguf/installed"), Installer.GGUF_READER);
    Files.createDirectories(home.resolve("python"));
    model = Files.writeString(home.resolve("m.Q4_1.gguf"), "weights");
    folder = Installer.unpacked(home, model);
  }

  @Test
  void aModelIsTurnedIntoAFolderOnce() throws Exception {
    script("cp $1 $2/model.safetensors");
    unpack();
    unpack();
    assertEquals(home.resolve("build/jlama-models/m.Q4_1"), folder);
    assertEquals("weights", Files.readString(folder.resolve("model.safetensors")));
    assertEquals(List.of("jlama: turning m.Q4_1.gguf into a folder that it reads"), told);
  }

  @Test
  void itIsMadeAnewWhereTheModelOrTheScriptChanged() throws Exception {
    script("cp $1 $2/model.safetensors");
    unpack();
    Files.writeString(model, "changed");
    Files.setLastModifiedTime(model, FileTime.fromMillis(0));
    unpack();
    assertEquals("changed", Files.readString(folder.resolve("model.safetensors")));
    script("cp $1 $2/other");
    unpack();
    assertEquals("changed", Files.readString(folder.resolve("other")));
    assertTrue(Files.notExists(folder.resolve("model.safetensors")));
  }

  @Test
  void aModelThatCannotBeTurnedLeavesThePeerOutForAReason() throws Exception {
    script("echo 'error: its architecture is bert, expected llama' >&2; exit 1");
    for (int time = 0; time < 2; time++) {
      String reason = assertThrows(AbsentException.class, this::unpack).getMessage();
      assertTrue(reason.contains("error: its architecture is bert, expected llama"), reason);
    }
  }

  private void script(String text) throws IOException {
    Files.writeString(home.resolve("python/hf_folder.py"), text);
  }

  private void unpack() throws AbsentException, IOException {
    new Installer(home, false, new Children(), told::add).unpack(Peer.JLAMA, model, folder);
  }
}
