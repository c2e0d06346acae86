package io.github.mla4j.cli;

import io.github.mla4j.Device;
import io.github.mla4j.Model;
import io.github.mla4j.ModelInfo;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * A model of a benchmark, looked at but not open.
 *
 * @param label what it is called, unlike the others
 */
record BenchModel(String label, Path file, ModelInfo info) {

  /**
   * Looks at all of them before anything is measured: a wrong one, or a device that does not take
   * it, is told of at once.
   */
  static List<BenchModel> look(List<Path> files, Device device) throws IOException {
    List<BenchModel> models = new ArrayList<>();
    for (Path file : files) {
      try (Model model = Models.open(file, device)) {
        if (!device.equals(Device.CPU) && !device.equals(Device.AUTO)) {
          model.newSession(options -> options.contextLength(1)).close();
        }
        models.add(new BenchModel(Models.label(file, files), file, model.info()));
      }
    }
    return models;
  }
}
