package io.github.mla4j.cli;

import io.github.mla4j.Model;
import io.github.mla4j.cli.Inspection.LayerRanks;
import io.github.mla4j.eval.sweep.ModelFile;
import io.github.mla4j.eval.sweep.Sweep;
import io.github.mla4j.eval.sweep.SweepModel;
import io.github.mla4j.gguf.Gguf;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;

/**
 * The models of a sweep, looked at but not open.
 *
 * @param all the source first
 * @param teacher one of them, or another
 */
record SweepModels(List<SweepModel> all, SweepModel teacher) {

  /** Looks at the files; those that an earlier run has looked at already are not opened again. */
  static SweepModels look(
      CommandSpec spec, List<Path> files, Optional<Path> teacher, Optional<Sweep> earlier)
      throws IOException {
    List<SweepModel> all = new ArrayList<>();
    for (Path file : files) {
      ModelFile found = ModelFile.of(file);
      if (all.stream().anyMatch(other -> other.file().path().equals(found.path()))) {
        throw new ParameterException(
            spec.commandLine(), "MODEL %s is given twice, expected once".formatted(file));
      }
      all.add(look(Models.label(file, files), found, earlier.map(Sweep::models).orElse(List.of())));
    }
    if (teacher.isEmpty()) {
      return new SweepModels(all, all.get(0));
    }
    ModelFile found = ModelFile.of(teacher.get());
    return new SweepModels(all, look(teacher.get().toString(), found, all));
  }

  /** Of all, the teacher included, the one with the least context. */
  SweepModel leastContext() {
    return Stream.concat(all.stream(), Stream.of(teacher))
        .min(Comparator.comparingInt(SweepModel::contextLength))
        .orElseThrow();
  }

  private static SweepModel look(String label, ModelFile file, List<SweepModel> known)
      throws IOException {
    Optional<SweepModel> same =
        known.stream().filter(model -> model.file().equals(file)).findFirst();
    if (same.isPresent()) {
      return same.get().labelled(label);
    }
    try (Gguf gguf = Models.openGguf(Path.of(file.path()));
        Model model = Model.load(gguf)) {
      long elements =
          Inspection.ranks(gguf, model.info()).stream().mapToLong(LayerRanks::elements).sum();
      return SweepModel.of(label, file, model, elements);
    }
  }
}
