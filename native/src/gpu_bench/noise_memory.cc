#include "gpu_bench/noise_memory.h"

#include <algorithm>
#include <random>
#include <utility>

namespace mla {
namespace {

constexpr int64_t kNoiseBytes = int64_t{1} << 20;
// No part of usual pages, so that these are not alike.
constexpr int64_t kStep = 4 * 5077;

std::vector<uint16_t> Halves() {
  std::mt19937 random(1);
  std::vector<uint16_t> halves(kNoiseBytes / sizeof(uint16_t));
  for (uint16_t& half : halves) {
    const uint32_t bits = random();
    // An exponent of -3 to -1, ten bits behind it, a sign.
    half = static_cast<uint16_t>((0x3000 + bits % 0x0c00) | (bits >> 16 & 0x8000));
  }
  return halves;
}

}  // namespace

NoiseMemory::NoiseMemory(std::shared_ptr<GpuStream> stream)
    : stream_(std::move(stream)),
      pages_(stream_),
      noise_(static_cast<uint8_t*>(stream_->Allocate(kNoiseBytes))) {
  if (noise_ == nullptr) return;
  const std::vector<uint16_t> halves = Halves();
  stream_->Upload(noise_, halves.data(), kNoiseBytes);
  // What goes wrong is met again where the pages are used.
  static_cast<void>(stream_->Synchronize());
}

NoiseMemory::~NoiseMemory() {
  if (noise_ != nullptr) stream_->Free(noise_);
}

uint8_t* NoiseMemory::Allocate(int64_t bytes) {
  if (noise_ == nullptr) return nullptr;
  uint8_t* page = pages_.Allocate(bytes);
  if (page == nullptr) return nullptr;
  for (int64_t done = 0; done < bytes;) {
    const int64_t n = std::min(bytes - done, kNoiseBytes - next_);
    stream_->Copy(page + done, noise_ + next_, n);
    done += n;
    next_ = (next_ + std::max(n, kStep)) % kNoiseBytes;
  }
  return page;
}

}  // namespace mla
