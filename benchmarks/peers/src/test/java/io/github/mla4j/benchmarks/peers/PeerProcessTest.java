package io.github.mla4j.benchmarks.peers;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PeerProcessTest {
  private static final Job JOB =
      new Job(
          "m.gguf",
          "f16",
          List.of("flash"),
          2,
          100,
          new int[] {7, 8},
          List.of(" a"),
          List.of(new Step(0, 2, true, "tg @ 0")));

  @TempDir private Path folder;

  private final List<String> told = new ArrayList<>();

  @Test
  void passesTheJobAndHearsWhatIsToldAmongALibrarysOwnWords() throws Exception {
    // The names that peers in other languages read.
    run(
        "echo loading; echo '{\"engine\":\"x 1\",\"build\":\"b\"}'; python3 -c \""
            + "import json,sys; j=json.load(sys.stdin); s=j['steps'][0];"
            + "print(json.dumps({'test': s['test'], 'seconds': s['at'] + s['count'] + s['singly']"
            + " + j['threads'] + j['context'] + sum(j['tokens']) + len(j['pieces'])}))\"");
    assertEquals(List.of("x 1, b", "tg @ 0 121.0"), told);
  }

  @Test
  void aFailureIsToldInThePeersOwnWords() {
    assertEquals("no such cache", failure("echo '{\"error\":\"no such cache\"}'; exit 1"));
    assertEquals(
        "it ended with status 3: error: out of luck",
        failure("echo hm >&2; echo error: out of luck >&2; echo bye >&2; exit 3"));
    assertEquals("it ended with status 4: it wrote nothing", failure("exit 4"));
    assertEquals("it wrote what is no JSON: {x", failure("echo '{x'"));
  }

  @Test
  void oneThatHangsIsEnded() {
    assertEquals("it did not finish in 1 s, see --limit", failure("sleep 600"));
  }

  @Test
  void aProgramThatIsNotThereIsNamed() {
    AbsentException e =
        assertThrows(AbsentException.class, () -> run(new Launch(List.of("/no/such/program"))));
    assertEquals(true, e.getMessage().contains("/no/such/program"), e.getMessage());
  }

  private String failure(String script) {
    return assertThrows(AbsentException.class, () -> run(script)).getMessage();
  }

  private void run(String script) throws Exception {
    run(new Launch(List.of("bash", "-c", script)));
  }

  private void run(Launch launch) throws Exception {
    Duration limit = Duration.ofSeconds(launch.command().contains("sleep 600") ? 1 : 60);
    new PeerProcess(new Children(), limit)
        .run(
            launch,
            JOB,
            folder.resolve("log"),
            new PeerProcess.Listener() {
              @Override
              public void engine(String name, String build) {
                told.add(name + ", " + build);
              }

              @Override
              public void test(String test, double seconds) {
                told.add(test + " " + seconds);
              }
            });
  }
}
