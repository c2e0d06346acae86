package io.github.mla4j.cli;

import io.github.mla4j.Device;
import picocli.CommandLine.Option;

/** What computes. */
final class DeviceArguments {
  @Option(
      names = "--device",
      paramLabel = "cpu|cuda|cuda:N|auto",
      description =
          "What computes: the CPU (default), a GPU ('mla info' lists them), or the first GPU that "
              + "takes the model and else the CPU.")
  private Device device = Device.CPU;

  Device device() {
    return device;
  }
}
