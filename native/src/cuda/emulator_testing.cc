#include "cuda/emulator_testing.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "cuda/emulator_block_testing.h"

namespace mla {
namespace {

// No rounding up: what lies behind the end is ASan's to see. Null: there is no memory.
void* Poisoned(size_t alignment, int64_t bytes) {
  void* memory = nullptr;
  if (posix_memalign(&memory, alignment, static_cast<size_t>(std::max<int64_t>(bytes, 1))) != 0) {
    return nullptr;
  }
  std::memset(memory, kPoison, static_cast<size_t>(bytes));
  return memory;
}

void Check(const Emulator::Call& call, int most_shared) {
  if (call.threads < kWarp || call.threads > 1024 || call.threads % kWarp != 0) {
    EmulatorFails("a block of %d threads, expected whole warps, at most 1024 threads",
                  call.threads);
  }
  if (call.shared_bytes < 0 || call.shared_bytes > most_shared) {
    EmulatorFails("%d bytes of shared memory, expected at most %d", call.shared_bytes, most_shared);
  }
  if (call.grid[0] < 1 || call.grid[1] < 1 || call.grid[2] < 1 || call.grid[1] > 65535 ||
      call.grid[2] > 65535) {
    EmulatorFails("a grid of %d x %d x %d blocks", call.grid[0], call.grid[1], call.grid[2]);
  }
}

// Arguments are a launch's own from its beginning, whatever it waits for.
Emulator::Call CopyForKernels(const Emulator::Call& call) {
  const NotTheKernels own;
  return call;
}

}  // namespace

struct Emulator::Recording final : public GpuRecording {
  std::vector<std::function<void()>> work;
};

class Emulator::Mark final : public GpuMark {
 public:
  explicit Mark(Emulator& gpu) : gpu_(gpu) {}
  void Set() override { at_ = gpu_.arrived_ + static_cast<int64_t>(gpu_.arrivals_.size()); }
  void Wait() override { gpu_.Arrive(at_); }

 private:
  Emulator& gpu_;
  int64_t at_ = 0;
};

Emulator::Emulator(Order order) : order_(order) {
  const NotTheKernels own;
  block_ = std::make_unique<Block>();
}

Emulator::~Emulator() {
  for (void* memory : memory_) std::free(memory);
}

void* Emulator::Allocate(int64_t bytes) {
  void* memory = Poisoned(kGpuAlignment, bytes);
  if (memory != nullptr) memory_.push_back(memory);
  return memory;
}

void Emulator::Free(void* memory) {
  if (memory == nullptr) return;
  const auto it = std::find(memory_.begin(), memory_.end(), memory);
  if (it == memory_.end()) EmulatorFails("freed what was not allocated");
  Arrive(arrived_ + static_cast<int64_t>(arrivals_.size()));
  memory_.erase(it);
  std::free(memory);
}

void* Emulator::AllocateHost(int64_t bytes) { return Poisoned(64, bytes); }

void Emulator::FreeHost(void* memory) { std::free(memory); }

void Emulator::Do(std::function<void()> work) {
  if (recording_ != nullptr) {
    recording_->work.push_back(std::move(work));
  } else {
    work();
  }
}

void Emulator::Upload(void* to, const void* from, int64_t bytes) { Copy(to, from, bytes); }
void Emulator::Download(void* to, const void* from, int64_t bytes) {
  Do([=, this] {
    launch_waits_ = true;
    const auto* begin = static_cast<const uint8_t*>(from);
    arrivals_.push_back({to, {begin, begin + bytes}});
  });
}
void Emulator::Copy(void* to, const void* from, int64_t bytes) {
  Do([=, this] {
    launch_waits_ = true;
    std::memcpy(to, from, static_cast<size_t>(bytes));
  });
}
void Emulator::Zero(void* memory, int64_t bytes) {
  Do([=, this] {
    launch_waits_ = true;
    std::memset(memory, 0, static_cast<size_t>(bytes));
  });
}

Result<std::unique_ptr<GpuRecording>> Emulator::Record(const std::function<void()>& launches) {
  auto recording = std::make_unique<Recording>();
  recording_ = recording.get();
  launches();
  recording_ = nullptr;
  return std::unique_ptr<GpuRecording>(std::move(recording));
}

void Emulator::Replay(const GpuRecording& recording) {
  for (const auto& work : static_cast<const Recording&>(recording).work) work();
}

std::unique_ptr<GpuMark> Emulator::NewMark() { return std::make_unique<Mark>(*this); }

void Emulator::Arrive(int64_t download) {
  for (; arrived_ < download; ++arrived_) {
    const Arrival& first = arrivals_.front();
    std::memcpy(first.to, first.bytes.data(), first.bytes.size());
    arrivals_.pop_front();
  }
}

Status Emulator::Synchronize() {
  launch_waits_ = true;
  Arrive(arrived_ + static_cast<int64_t>(arrivals_.size()));
  return Status::Ok();
}

void Emulator::Launch(Call call) {
  Check(call, shared_bytes());
  Do([this, call = std::move(call)] {
    const NotTheKernels ours;  // what becomes of `own`, behind the launch that is under way, too
    // A launch may begin while the one before it runs, but not before that one has all it waits
    // for.
    const uint64_t* begun = &began_[launches_ % 2];
    const uint64_t* before = launch_waits_ ? begun : &began_[(launches_ + 1) % 2];
    ReleaseAt(begun);
    ++launches_;
    launch_waits_ = false;
    const Call own = CopyForKernels(call);
    const int blocks = call.grid[0] * call.grid[1] * call.grid[2];
    for (int i = 0; i < blocks; ++i) {
      const size_t crew = static_cast<size_t>(launches_ % 2 * 2 + i % 2) % Block::kCrews;
      const int b = order_ == Order::kForward ? i : blocks - 1 - i;
      block_->Run(
          own,
          {b % call.grid[0], b / call.grid[0] % call.grid[1], b / (call.grid[0] * call.grid[1])},
          order_, {before, begun, &ended_, crew});
    }
    AcquireAt(&ended_);
  });
}

}  // namespace mla
