// A GPU in plain C++, for tests: runs a kernel's blocks one after the other and a block's threads
// as fibers that change places where they wait for each other. What a GPU leaves undefined is made
// to show: threads run in an order of the test's choice, shared memory begins as NaN, copies to it
// and to the host arrive and groups multiply as late as they may, and a kernel that breaks the
// rules of simt.h ends the program with a sentence about it. Under ASan every array has its true
// bounds.
#ifndef MLA_CUDA_EMULATOR_TESTING_H_
#define MLA_CUDA_EMULATOR_TESTING_H_

#include <array>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "cuda/gpu_stream.h"
#include "cuda/mma_float.h"

namespace mla {

class Emulator final : public GpuStream {
 public:
  // In what order threads of a block, and blocks, run between two barriers. Backward, copies arrive
  // at once, else as late as they may.
  enum class Order { kForward, kBackward, kShuffled };

  static constexpr int kProcessors = 2;
  static constexpr int kSharedBytes = 227 << 10;  // sm_90's

  explicit Emulator(Order order = Order::kForward);
  ~Emulator() override;

  void* Allocate(int64_t bytes) override;
  void Free(void* memory) override;
  void* AllocateHost(int64_t bytes) override;
  void FreeHost(void* memory) override;
  void Upload(void* to, const void* from, int64_t bytes) override;
  void Download(void* to, const void* from, int64_t bytes) override;
  void Copy(void* to, const void* from, int64_t bytes) override;
  void Zero(void* memory, int64_t bytes) override;
  Result<std::unique_ptr<GpuRecording>> Record(const std::function<void()>& launches) override;
  void Replay(const GpuRecording& recording) override;
  std::unique_ptr<GpuMark> NewMark() override;
  Status Synchronize() override;
  Status TakeErrors() override { return Status::Ok(); }
  int processors() const override { return kProcessors; }
  int shared_bytes() const override { return kSharedBytes; }
  bool has_group_mma() const override { return true; }
  bool has_bulk_copies() const override { return true; }
  void* native() override { return this; }

  struct Call {
    std::array<int, 3> grid;
    int threads;
    int shared_bytes;
    std::function<void()> kernel;
  };
  void Launch(Call call);

  int64_t launches() const { return launches_; }

  // What follows is called by kernels, of the thread that runs.
  struct ThreadState {
    int index;
    int block_threads;
    std::array<int, 3> block;
    std::array<int, 3> grid;
    uint8_t* shared;
  };
  static const ThreadState& Thread();
  // Of the block's shared memory, for a load or a store of so many bytes at once.
  static uint8_t* SharedAt(int address, int bytes);
  static void WaitForEarlier();
  static void SyncBlock();
  static void SyncWarp();
  static void SyncGroup();
  // Every lane's value, until the warp's next exchange but one.
  template <typename T>
  static const T* Exchange(const T& value) {
    static_assert(sizeof(T) <= kSlotBytes);
    return static_cast<const T*>(ExchangeBytes(&value, sizeof(T)));
  }
  static void Mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], MmaFloat of);
  static void LoadMatrices(uint32_t (&to)[4], const void* row, bool transposed);
  static void CopyAsync(void* shared, const void* global, int bytes);
  static void CommitCopies();
  static void WaitCopies(int newest);
  static void InitCopyBarrier(uint64_t* barrier);
  static void ExpectCopies(uint64_t* barrier, int bytes);
  static void CopyBulk(void* shared, const void* global, int bytes, uint64_t* barrier);
  static void WaitCopyBarrier(uint64_t* barrier, int parity);
  static void MakeTurns(uint64_t* barrier, int arrivals);
  static void ArriveTurn(uint64_t* barrier);
  static void ArriveAfterCopies(uint64_t* barrier);
  static void WaitTurn(uint64_t* barrier, int parity);
  static void GroupMma(float (&d)[16][4], const uint32_t (&a)[4], const void* b, int step);
  static void GroupMmaShared(float (&d)[8][4], const void* a, const void* b, int step, MmaFloat of);
  static void GroupMmaShared(float (&d)[2][4], const void* a, const void* b, int step, MmaFloat of);
  static void GroupMmaRows(float (&d)[8][4], const uint32_t (&a)[4], const void* b, int step,
                           MmaFloat of);
  static void BeginGroupMmas();
  static void CommitGroupMmas();
  static void WaitGroupMmas(int newest);
  static void ShowGroupMmas();

 private:
  class Block;
  struct Recording;
  class Mark;
  struct Arrival {  // of a download
    void* to;
    std::vector<uint8_t> bytes;
  };
  static constexpr size_t kSlotBytes = 48;

  static const void* ExchangeBytes(const void* value, size_t size);
  void Do(std::function<void()> work);
  // Downloads up to this one, by number.
  void Arrive(int64_t download);

  const Order order_;
  int64_t launches_ = 0;
  // Whether anything is between the last launch and the next one, which ends and begins with it.
  bool launch_waits_ = true;
  // Addresses for the order of launches: even ones, odd ones, all that ended.
  uint64_t began_[2] = {};
  uint64_t ended_ = 0;
  std::unique_ptr<Block> block_;
  std::vector<void*> memory_;
  std::deque<Arrival> arrivals_;
  int64_t arrived_ = 0;             // downloads
  Recording* recording_ = nullptr;  // where work goes while there is one
};

}  // namespace mla
#endif  // MLA_CUDA_EMULATOR_TESTING_H_
