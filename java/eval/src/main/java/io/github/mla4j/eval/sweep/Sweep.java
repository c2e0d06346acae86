package io.github.mla4j.eval.sweep;

import io.github.mla4j.eval.Machine;
import java.util.List;
import java.util.Optional;

/**
 * What a sweep has measured so far.
 *
 * @param format of the file it is kept in
 * @param date when it was written, ISO 8601
 * @param command that asked for it
 * @param models the source first
 * @param results finished pairs of model and cache, model by model
 */
public record Sweep(
    int format,
    String date,
    String command,
    Machine machine,
    SweepSettings settings,
    List<SweepModel> models,
    List<SweepEntry> results) {

  /** The format that this version writes. */
  public static final int FORMAT = 1;

  public Sweep {
    models = List.copyOf(models);
    results = List.copyOf(results);
  }

  /** The model that the others come from. */
  public SweepModel source() {
    return models.get(0);
  }

  /** What a pair takes beside the source with f16, 1 being as much. */
  public double shareOfSource(SweepEntry entry) {
    return entry.bytesPerToken() / source().f16BytesPerToken();
  }

  /** A pair's result, where there is one. */
  public Optional<SweepEntry> result(String model, String cache) {
    return results.stream()
        .filter(entry -> entry.model().equals(model) && entry.cache().equals(cache))
        .findFirst();
  }

  /** Pairs that were asked for, finished or not. */
  public int pairs() {
    return models.size() * settings.caches().size();
  }

  /** The best quality for the bytes. */
  public List<SweepEntry> front() {
    return QualityFront.of(results);
  }
}
