package io.github.mla4j.convert.heal;

import io.github.mla4j.Activations;
import io.github.mla4j.CacheType;
import io.github.mla4j.Model;
import io.github.mla4j.Session;
import io.github.mla4j.convert.CalibratedRequest;
import io.github.mla4j.convert.Calibration;
import io.github.mla4j.convert.Converter;
import io.github.mla4j.convert.LatentRotation;
import io.github.mla4j.convert.ProgressListener;
import io.github.mla4j.gguf.Gguf;
import io.github.mla4j.gguf.TensorType;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Random;
import java.util.stream.Collectors;

/** Small converted models to heal, and what the engine makes of them. */
final class ConvertedModels {
  static final TorchPlace PLACE = TorchPlace.of(HealDevice.CPU, Optional.of(Precision.F32));

  private ConvertedModels() {}

  /** Converts by recipe {@code calibrated} on random tokens. */
  static Path calibrated(Path source, Path folder, double reduction, TensorType type)
      throws IOException {
    String ids =
        new Random(3)
            .ints(2 * 64, 0, 256)
            .mapToObj(Integer::toString)
            .collect(Collectors.joining(" "))
            .replaceAll("((\\d+ ){63}\\d+) ", "$1\n");
    Path output = folder.resolve("converted.gguf");
    Converter.convert(
        new CalibratedRequest(
            source,
            output,
            reduction,
            OptionalInt.empty(),
            OptionalInt.empty(),
            true,
            new Calibration.Ids(Files.writeString(folder.resolve("ids.txt"), ids)),
            2,
            64,
            2,
            LatentRotation.HADAMARD,
            1,
            Optional.of(type)),
        ProgressListener.none());
    return output;
  }

  static float[][] engineLogits(Path file, int[] tokens) {
    try (Model model = Model.load(file)) {
      return logits(model, tokens);
    }
  }

  static float[][] engineLogits(Gguf file, int[] tokens) {
    try (Model model = Model.load(file)) {
      return logits(model, tokens);
    }
  }

  private static float[][] logits(Model model, int[] tokens) {
    try (Session session =
        model.newSession(s -> s.cache(CacheType.F32).threads(1).activations(Activations.FINE))) {
      return session.logitsAll(tokens);
    }
  }
}
