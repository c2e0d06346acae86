#include "graph/rope_frequencies.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "tensor/convert.h"

namespace mla {
namespace {

// The (fractional) pair index that turns `rotations` times within the original context.
double PairOfRotations(double rotations, int32_t rope_dim, double base, double original_context) {
  return rope_dim * std::log(original_context / (rotations * 2.0 * std::numbers::pi)) /
         (2.0 * std::log(base));
}

struct YarnRamp {
  double low, high;
  // 1 where the frequency is kept, 0 where it is interpolated.
  double Keep(int32_t pair) const {
    return 1.0 - std::clamp((pair - low) / std::max(0.001, high - low), 0.0, 1.0);
  }
};

Status DivideByFactors(const GgufFile& file, std::vector<double>& inverse) {
  const GgufTensor* tensor = file.FindTensor("rope_freqs.weight");
  if (tensor == nullptr) return Status::Ok();
  if (tensor->elements() != static_cast<int64_t>(inverse.size())) {
    return Status(MLA_BAD_FILE, file.name() + ": tensor 'rope_freqs.weight' has " +
                                    std::to_string(tensor->elements()) + " elements, expected " +
                                    std::to_string(inverse.size()) + ", one a rotary pair");
  }
  std::vector<float> factors(inverse.size());
  DequantizeRow(tensor->type, tensor->data, factors.data(), tensor->elements());
  for (size_t i = 0; i < inverse.size(); ++i) {
    if (!(factors[i] > 0)) {
      return Status(MLA_BAD_FILE, file.name() + ": tensor 'rope_freqs.weight'[" +
                                      std::to_string(i) + "] is not a positive number");
    }
    inverse[i] /= factors[i];
  }
  return Status::Ok();
}

}  // namespace

Result<RopeFrequencies> LoadRopeFrequencies(const GgufFile& file, Metadata& metadata,
                                            int32_t rope_dim) {
  const double base = metadata.OptionalReal("rope.freq_base", 10000.0, 1.0, 1e12);
  const std::string scaling = metadata.OptionalString("rope.scaling.type", "none");
  const double legacy = metadata.OptionalReal("rope.scale_linear", 1.0, 1e-3, 1e6);
  const double factor = metadata.OptionalReal("rope.scaling.factor", legacy, 1e-3, 1e6);
  const double original =
      metadata.OptionalInt("rope.scaling.original_context_length",
                           metadata.OptionalInt("context_length", 2048, 1, 1 << 30), 1, 1 << 30);
  const double attention = metadata.OptionalReal("rope.scaling.attn_factor", 1.0, 1e-3, 1e3);
  const double fast = metadata.OptionalReal("rope.scaling.yarn_beta_fast", 32.0, 1e-6, 1e6);
  const double slow = metadata.OptionalReal("rope.scaling.yarn_beta_slow", 1.0, 1e-6, 1e6);
  if (!metadata.status().ok()) return metadata.status();

  const int32_t pairs = rope_dim / 2;
  std::vector<double> inverse(static_cast<size_t>(pairs));
  for (int32_t i = 0; i < pairs; ++i) {
    inverse[static_cast<size_t>(i)] = std::pow(base, -2.0 * i / rope_dim);
  }
  if (Status status = DivideByFactors(file, inverse); !status.ok()) return status;

  RopeFrequencies out;
  if (scaling == "linear" || (scaling == "none" && legacy != 1.0)) {
    for (double& f : inverse) f /= factor;
  } else if (scaling == "yarn") {
    if (base <= 1.0) {
      return Status(MLA_BAD_FILE, file.name() + ": key '" + metadata.Name("rope.freq_base") +
                                      "' must be greater than 1 for YaRN scaling");
    }
    const YarnRamp ramp = {
        std::max(0.0, std::floor(PairOfRotations(fast, rope_dim, base, original))),
        std::min(rope_dim - 1.0, std::ceil(PairOfRotations(slow, rope_dim, base, original)))};
    for (int32_t i = 0; i < pairs; ++i) {
      double& f = inverse[static_cast<size_t>(i)];
      const double keep = ramp.Keep(i);
      f = f / factor * (1.0 - keep) + f * keep;
    }
    out.attention_factor =
        static_cast<float>(attention * (factor > 1.0 ? 1.0 + 0.1 * std::log(factor) : 1.0));
  } else if (scaling != "none") {
    return Status(MLA_UNSUPPORTED, file.name() + ": key '" + metadata.Name("rope.scaling.type") +
                                       "' is '" + scaling + "', expected none, linear or yarn");
  }
  out.inverse.assign(inverse.begin(), inverse.end());
  return out;
}

}  // namespace mla
