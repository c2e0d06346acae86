#include "runtime/measure_roofline.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>

#include "kernels/roofline/roofline.h"
#include "runtime/thread_pool.h"
#include "tensor/aligned_buffer.h"
#include "tensor/large_pages.h"

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

namespace mla {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kTime{250};  // for each of the three
constexpr int kLeastRuns = 3;
// Pieces go to whoever is free, as a decoder's do.
constexpr int64_t kReadPiece = int64_t{1} << 20;
constexpr int64_t kPieces = 64;       // a thread, of multiplying
constexpr int64_t kRounds = 1 << 13;  // a piece: some tens of microseconds

// So far beyond the last cache that next to nothing of it is left there from pass to pass.
int64_t BufferBytes() {
  int64_t cache = 0;
#if defined(_SC_LEVEL3_CACHE_SIZE)
  cache = std::max<int64_t>({0, sysconf(_SC_LEVEL2_CACHE_SIZE), sysconf(_SC_LEVEL3_CACHE_SIZE)});
#endif
  const int64_t bytes = std::clamp<int64_t>(8 * cache, int64_t{256} << 20, int64_t{1} << 30);
  return bytes / kReadPiece * kReadPiece;
}

// The least seconds that all members together took for pieces [0, count) of work(piece), as this
// member saw it.
template <typename Work>
double LeastSeconds(Team& team, int member, int64_t count, std::atomic<bool>& done, Work work) {
  const Clock::time_point end = Clock::now() + kTime;
  double least = 1e9;
  for (int run = 0; !done.load(std::memory_order_relaxed); ++run) {
    // Before all begin: a member that loses its processor here must not miss what the others do.
    const Clock::time_point begin = Clock::now();
    team.Barrier();
    team.Each(count, 1, [&](int64_t from, int64_t to) {
      for (int64_t piece = from; piece < to; ++piece) work(piece);
    });
    const Clock::time_point now = Clock::now();
    least = std::min(least, std::chrono::duration<double>(now - begin).count());
    if (member == 0 && run + 1 >= kLeastRuns && now >= end) done = true;
    team.Barrier();  // all members see the same
  }
  return least;
}

}  // namespace

Roofline MeasureRoofline(int32_t threads) {
  const RooflineKernels& kernels = GetRooflineKernels(ChosenIsa().isa);
  const AlignedBuffer buffer(BufferBytes());
  PreferLargePages(buffer.data(), buffer.size());
  const int64_t read_pieces = buffer.size() / kReadPiece;
  Roofline out;
  std::atomic<uint64_t> sink{0};
  std::atomic<bool> done[3] = {};
  ThreadPool::Shared().Run(threads, [&](Team& team, int member) {
    // By those that will read it: memory goes where it is first touched.
    team.Each(read_pieces, 1, [&](int64_t piece, int64_t) {
      std::memset(buffer.data() + piece * kReadPiece, 1, kReadPiece);
    });
    const double reading = LeastSeconds(team, member, read_pieces, done[0], [&](int64_t piece) {
      sink.fetch_add(kernels.read(buffer.data() + piece * kReadPiece, kReadPiece),
                     std::memory_order_relaxed);
    });
    const int64_t pieces = kPieces * team.size();
    const double floats = LeastSeconds(team, member, pieces, done[1], [&](int64_t) {
      sink.fetch_add(kernels.multiply_floats(kRounds, 1.0f) > 0, std::memory_order_relaxed);
    });
    const double integers = LeastSeconds(team, member, pieces, done[2], [&](int64_t) {
      sink.fetch_add(kernels.multiply_integers(kRounds, 1), std::memory_order_relaxed);
    });
    if (member != 0) return;
    const double rounds = static_cast<double>(pieces * kRounds);
    out.threads = team.size();
    out.bytes = static_cast<double>(buffer.size()) / reading;
    out.float_multiply_adds = rounds * static_cast<double>(kernels.floats) / floats;
    out.integer_multiply_adds = rounds * static_cast<double>(kernels.integers) / integers;
  });
  return out;
}

}  // namespace mla
