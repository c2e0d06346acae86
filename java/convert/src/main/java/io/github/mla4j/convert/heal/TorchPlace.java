package io.github.mla4j.convert.heal;

import static org.bytedeco.pytorch.global.torch.empty;

import io.github.mla4j.MlaException;
import io.github.mla4j.Status;
import io.github.mla4j.convert.source.WeightTensor;
import io.github.mla4j.convert.torch.FastestType;
import io.github.mla4j.convert.torch.TorchScope;
import java.util.Optional;
import org.bytedeco.pytorch.AbstractTensor;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.Device;
import org.bytedeco.pytorch.DeviceOptional;
import org.bytedeco.pytorch.LayoutOptional;
import org.bytedeco.pytorch.MemoryFormatOptional;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Where tensors live, and the type that matrices are multiplied in. Residual streams, norms,
 * parameters and their moments are float32 whatever that type is.
 *
 * @param compute float32 or bfloat16
 */
record TorchPlace(Device device, ScalarType compute) {
  // Elements in memory at a time while a tensor is read.
  private static final int SLICE = 1 << 22;

  /**
   * @throws MlaException if the machine has no such device, or PyTorch was not built for it
   */
  static TorchPlace of(HealDevice device, Optional<Precision> precision) {
    if (device == HealDevice.CUDA && !torch.cuda_is_available()) {
      throw new MlaException(
          Status.UNSUPPORTED,
          "device cuda: PyTorch sees none; it needs an NVIDIA driver, and the natives of"
              + " org.bytedeco:pytorch-platform-gpu on the class path instead of those for the"
              + " CPU");
    }
    Device place = new Device(device.torchName());
    return new TorchPlace(
        place, precision.map(Precision::type).orElseGet(() -> FastestType.of(place)));
  }

  boolean isCpu() {
    return device.is_cpu();
  }

  Tensor place(Tensor tensor, ScalarType type) {
    return tensor.to(device, type);
  }

  /** An uninitialized tensor. */
  Tensor allocate(ScalarType type, long... shape) {
    return empty(
        shape,
        new ScalarTypeOptional(type),
        new LayoutOptional(),
        new DeviceOptional(device),
        new BoolOptional(),
        new MemoryFormatOptional());
  }

  /** A matrix [rows, columns] in {@code type}. */
  Tensor load(WeightTensor weight, ScalarType type) {
    Tensor all = allocate(type, weight.rows(), weight.columns());
    int step = Math.max(1, SLICE / Math.max(1, weight.columns()));
    for (int first = 0; first < weight.rows(); first += step) {
      int row = first;
      int count = Math.min(step, weight.rows() - row);
      float[] values = new float[count * weight.columns()];
      weight.read(row, count, values, 0);
      TorchScope.runWithoutGradients(
          () ->
              all.narrow(0, row, count)
                  .copy_(AbstractTensor.create(values, count, weight.columns())));
    }
    return all;
  }
}
