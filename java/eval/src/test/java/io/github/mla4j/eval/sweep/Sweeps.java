package io.github.mla4j.eval.sweep;

import io.github.mla4j.eval.Machine;
import java.util.ArrayList;
import java.util.List;

/** Made-up sweeps, whose numbers can be told by heart. */
final class Sweeps {
  static final Machine MACHINE =
      new Machine("A processor", 2, "avx2", "Linux 6", "17, Debian", "1.0");

  private Sweeps() {}

  static SweepSettings settings(List<String> caches, List<Integer> depths) {
    return new SweepSettings("text.txt", "abc", 128, 3, file("source"), caches, depths, 2);
  }

  static ModelFile file(String name) {
    return new ModelFile("/models/" + name, 1000, 1);
  }

  static SweepModel model(String name) {
    return model(name, file(name));
  }

  static SweepModel model(String name, ModelFile file) {
    return new SweepModel(name, file, "A model", 1000, false, 4096, 50, 100);
  }

  static SweepEntry entry(String model, String cache, double bytes, double perplexity) {
    return entry(model, cache, bytes, perplexity, List.of());
  }

  static SweepEntry entry(
      String model, String cache, double bytes, double perplexity, List<Integer> depths) {
    CacheQuality quality =
        new CacheQuality(
            100,
            perplexity,
            0.5,
            10,
            perplexity / 10,
            0.01,
            perplexity - 10,
            0.01,
            0,
            1,
            2,
            0.9,
            0.03);
    List<DepthSpeed> speeds =
        depths.stream()
            .map(
                depth ->
                    new DepthSpeed(depth, 50, 49, 51, 32, 1000 - depth / 10.0, 512, 1 << 20, 1024))
            .toList();
    return new SweepEntry(model, cache, bytes, bytes - 1, 8 * bytes / 50, quality, speeds, 1 << 24);
  }

  static Sweep of(SweepSettings settings, List<SweepModel> models, List<SweepEntry> results) {
    return new Sweep(
        Sweep.FORMAT, "2026-01-02T03:04:05Z", "mla sweep", MACHINE, settings, models, results);
  }

  /** The source and two conversions, with four cache types, at three depths. */
  static Sweep large() {
    List<String> caches = List.of("f16", "int8", "int4", "int2");
    List<Integer> depths = List.of(0, 1024, 3000);
    List<SweepModel> models = List.of(model("source"), model("half"), model("quarter"));
    List<SweepEntry> results = new ArrayList<>();
    for (int i = 0; i < models.size(); i++) {
      for (int j = 0; j < caches.size(); j++) {
        results.add(
            entry(
                models.get(i).label(),
                caches.get(j),
                100 / Math.pow(2, i) / Math.pow(1.8, j),
                10 + i * i * 0.8 + Math.pow(j, 3) * 0.1,
                depths));
      }
    }
    return of(settings(caches, depths), models, results);
  }
}
