package io.github.mla4j.convert.source;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/** The answers of an independent implementation, in the folder shared beside the repository. */
public final class Fixtures {
  private static final Path SHARED = Path.of("../../../shared").toAbsolutePath().normalize();
  private static final Path MODELS = SHARED.resolve("fixtures/mha2mla");

  private Fixtures() {}

  /** A converted case: a folder beside {@code source}. */
  public record Case(String model, String name) {
    public Path source() {
      return MODELS.resolve(model).resolve("source");
    }

    public Path converted() {
      return MODELS.resolve(model).resolve(name);
    }

    /** The folder's name is rope-svd-rR-dRANK. */
    public String[] parts() {
      return name.split("-(?=joint|split|only|none|r\\d|d\\d)");
    }

    @Override
    public String toString() {
      return model + "/" + name;
    }
  }

  /** All converted cases; skips the test where the shared folder is absent. */
  public static List<Case> cases() {
    return models().stream()
        .flatMap(
            model ->
                list(MODELS.resolve(model))
                    .filter(Files::isDirectory)
                    .map(folder -> folder.getFileName().toString())
                    .filter(name -> !name.equals("source"))
                    .map(name -> new Case(model, name)))
        .toList();
  }

  /** Names of the plain models. */
  public static List<String> models() {
    assumeTrue(Files.isDirectory(MODELS), MODELS + " is absent: nothing to compare with");
    return list(MODELS).map(folder -> folder.getFileName().toString()).toList();
  }

  public static Path source(String model) {
    return MODELS.resolve(model).resolve("source");
  }

  /** Something of the shared folder; skips the test where it is absent. */
  public static Path shared(String path) {
    Path file = SHARED.resolve(path);
    assumeTrue(Files.exists(file), file + " is absent: nothing to compare with");
    return file;
  }

  /** Two sequences of token ids. */
  public static int[][] tokens(String model) throws IOException {
    return ids(model, "tokens");
  }

  public static int[][] calibrationTokens(String model) throws IOException {
    return ids(model, "calibration_tokens");
  }

  private static int[][] ids(String model, String tensor) throws IOException {
    SafetensorsFile file = expected(model);
    int rows = file.shape(tensor).orElseThrow().get(0).intValue();
    long[] flat = file.integers(tensor);
    int[][] ids = new int[rows][flat.length / rows];
    for (int i = 0; i < flat.length; i++) {
      ids[i / ids[0].length][i % ids[0].length] = (int) flat[i];
    }
    return ids;
  }

  /** Expected logits [sequence · position · vocabulary] under this name. */
  public static float[] logits(String model, String name) throws IOException {
    return expected(model).tensor(name).readAll();
  }

  /** The rank of each dim's pair, [layers · kvHeads · d]. */
  public static long[] twoNormRank(String model) throws IOException {
    return expected(model).integers("two_norm_rank");
  }

  public static boolean hasTwoNormRank(String model) throws IOException {
    return expected(model).shape("two_norm_rank").isPresent();
  }

  private static SafetensorsFile expected(String model) throws IOException {
    return SafetensorsFile.open(MODELS.resolve(model).resolve("expected.safetensors"));
  }

  private static Stream<Path> list(Path folder) {
    try (Stream<Path> entries = Files.list(folder)) {
      return entries.sorted().toList().stream();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
