package io.github.mla4j.eval.sweep;

import io.github.mla4j.eval.Machine;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * What an earlier run has measured that need not be measured again. Quality is kept where model,
 * cache, text, context, limit and teacher are the same; speed at a depth where the machine and the
 * threads are, too.
 *
 * @param kept the results, perhaps without some of the speeds asked for, under the labels of now
 * @param notes why something is measured anew, in words
 * @param dropsSome whether the earlier run has results that are not kept
 */
public record SweepReuse(List<SweepEntry> kept, List<String> notes, boolean dropsSome) {

  public SweepReuse {
    kept = List.copyOf(kept);
    notes = List.copyOf(notes);
  }

  /** What to keep of an earlier run for these settings and models. */
  public static SweepReuse of(
      Sweep earlier, SweepSettings settings, Machine machine, List<SweepModel> models) {
    if (earlier.results().isEmpty()) {
      return new SweepReuse(List.of(), List.of(), false);
    }
    Optional<String> other = settings.qualityDifference(earlier.settings());
    if (other.isPresent()) {
      return new SweepReuse(
          List.of(), List.of("everything is measured anew: " + other.get()), true);
    }
    List<String> notes = new ArrayList<>();
    Optional<String> otherSpeed = speedDifference(earlier, settings, machine);
    otherSpeed.ifPresent(why -> notes.add("speed is measured anew: " + why));
    List<SweepEntry> kept = new ArrayList<>();
    boolean whole = true;
    for (SweepModel model : models) {
      Optional<SweepModel> then = find(earlier, model);
      if (then.isEmpty()) {
        continue;
      }
      if (!then.get().file().equals(model.file())) {
        notes.add(
            "%s is measured anew: its size or time has changed".formatted(model.file().path()));
        continue;
      }
      for (String cache : settings.caches()) {
        Optional<SweepEntry> found = earlier.result(then.get().label(), cache);
        if (found.isPresent()) {
          List<DepthSpeed> speeds =
              found.get().speeds().stream()
                  .filter(at -> otherSpeed.isEmpty() && settings.depths().contains(at.depth()))
                  .toList();
          whole &= speeds.size() == found.get().speeds().size();
          kept.add(found.get().with(model.label(), speeds));
        }
      }
    }
    return new SweepReuse(kept, notes, !whole || kept.size() < earlier.results().size());
  }

  /** The kept result of a pair, where there is one. */
  public Optional<SweepEntry> result(String model, String cache) {
    return kept.stream()
        .filter(entry -> entry.model().equals(model) && entry.cache().equals(cache))
        .findFirst();
  }

  private static Optional<String> speedDifference(
      Sweep earlier, SweepSettings settings, Machine machine) {
    int before = earlier.settings().threads();
    return before == settings.threads()
        ? machine.speedDifference(earlier.machine())
        : Optional.of("there were %d threads, now %d".formatted(before, settings.threads()));
  }

  private static Optional<SweepModel> find(Sweep earlier, SweepModel model) {
    return earlier.models().stream()
        .filter(then -> then.file().path().equals(model.file().path()))
        .findFirst();
  }
}
