// Pages of a GPU: how its memory is cut and used again.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "cache/gpu_page_memory.h"
#include "cache/page.h"
#include "cuda/gpu_testing.h"

namespace mla {
namespace {

constexpr int64_t kGpuBytes = 4 << 20;

class GpuPages : public testing::Test {
 protected:
  bool IsAll(uint8_t byte, const Page& page, int64_t bytes) {
    return Fetch(*gpu_, page.get(), bytes) ==
           std::vector<uint8_t>(static_cast<size_t>(bytes), byte);
  }
  void Fill(const Page& page, int64_t bytes, uint8_t byte) {
    const std::vector<uint8_t> mark(static_cast<size_t>(bytes), byte);
    gpu_->Upload(page.get(), mark.data(), bytes);
    Finish(*gpu_);
  }

  std::shared_ptr<TestGpu> gpu_ = std::make_shared<TestGpu>(Emulator::Order::kForward, kGpuBytes);
  std::shared_ptr<GpuPageMemory> memory_ = std::make_shared<GpuPageMemory>(gpu_);
};

TEST_F(GpuPages, AreTheirOwnAndZerosInAnyOrderOfUse) {
  struct Held {
    Page page;
    int64_t bytes;
    uint8_t mark;
  };
  std::vector<Held> held;
  std::mt19937 random(3);
  const int64_t sizes[] = {1, 255, 256, 3000, 20000};
  for (int turn = 0; turn < 3000; ++turn) {
    if (held.size() < 60 || random() % 2 == 0) {
      const int64_t bytes = sizes[random() % 5];
      Held each = {Page::Allocate(*memory_, bytes), bytes, static_cast<uint8_t>(random() | 1)};
      if (!each.page) continue;
      ASSERT_TRUE(IsAll(0, each.page, bytes));
      ASSERT_EQ(reinterpret_cast<uintptr_t>(each.page.get()) % 64, 0u);
      Fill(each.page, bytes, each.mark);
      held.push_back(std::move(each));
    } else {
      std::swap(held[random() % held.size()], held.back());
      const Held& each = held.back();
      ASSERT_TRUE(IsAll(each.mark, each.page, each.bytes)) << "another page's bytes";
      held.pop_back();
    }
    ASSERT_EQ(gpu_->allocated_bytes(), memory_->slab_bytes());
  }
  EXPECT_GT(memory_->slab_bytes(), 0);
  held.clear();
  memory_->ReleaseUnused();
  EXPECT_EQ(gpu_->allocated_bytes(), 0);
  for (const int64_t bytes : sizes) {
    const Page again = Page::Allocate(*memory_, bytes);
    EXPECT_TRUE(IsAll(0, again, bytes));
    EXPECT_EQ(gpu_->allocated_bytes(), memory_->slab_bytes());
  }
  EXPECT_GT(gpu_->allocated_bytes(), 0);
}

TEST_F(GpuPages, UseAllMemoryThereIsAndWhatOtherSizesGaveBack) {
  std::vector<Page> pages;
  const int64_t bytes = 100 << 10;
  while (Page page = Page::Allocate(*memory_, bytes)) pages.push_back(std::move(page));
  EXPECT_EQ(static_cast<int64_t>(pages.size()), kGpuBytes / bytes);
  EXPECT_FALSE(Page::Allocate(*memory_, bytes / 2 + kGpuBytes % bytes));
  // Half of them, spread over all slabs: no slab is free as a whole.
  std::vector<Page> rest;
  for (size_t i = 0; i < pages.size(); i += 2) rest.push_back(pages[i]);
  pages.clear();
  for (size_t i = 0; i < rest.size() / 2; ++i) EXPECT_TRUE(Page::Allocate(*memory_, bytes));
  rest.clear();
  EXPECT_GT(gpu_->allocated_bytes(), kGpuBytes / 2);
  EXPECT_TRUE(Page::Allocate(*memory_, kGpuBytes)) << "what nobody uses is given back";
}

TEST_F(GpuPages, AreHeldByFewAllocations) {
  std::vector<Page> pages;
  for (int i = 0; i < 1000; ++i) pages.push_back(Page::Allocate(*memory_, 1024));
  EXPECT_LT(memory_->slab_bytes(), 1000 * 1024 * 5 / 4 + 8 * 1024);
}

// More than is staged at once, and a page that alone is.
TEST_F(GpuPages, AreReadAndFilledInOrder) {
  gpu_ = std::make_shared<TestGpu>();
  memory_ = std::make_shared<GpuPageMemory>(gpu_);
  std::vector<Page> pages;
  std::vector<PageMemory::Span> spans;
  const int64_t sizes[] = {1000, 2 << 20, 1, 3 << 20, (9 << 20) + 3, 64, 64};
  for (const int64_t bytes : sizes) {
    pages.push_back(Page::Allocate(*memory_, bytes));
    spans.push_back({pages.back().get(), bytes});
  }
  std::mt19937 random(1);
  std::vector<std::vector<uint8_t>> expected;
  ASSERT_TRUE(memory_
                  ->Fill(spans,
                         [&](uint8_t* page, int64_t bytes) {
                           for (int64_t i = 0; i < bytes; ++i)
                             page[i] = static_cast<uint8_t>(random());
                           expected.emplace_back(page, page + bytes);
                         })
                  .ok());
  for (size_t i = 0; i < spans.size(); ++i) {
    ASSERT_EQ(spans[i].bytes, static_cast<int64_t>(expected[i].size()));
    EXPECT_EQ(Fetch<uint8_t>(*gpu_, spans[i].data, spans[i].bytes), expected[i]) << i;
  }
  size_t at = 0;
  ASSERT_TRUE(memory_
                  ->Read(spans,
                         [&](const uint8_t* page, int64_t bytes) {
                           EXPECT_EQ(std::vector<uint8_t>(page, page + bytes), expected[at++]);
                         })
                  .ok());
  EXPECT_EQ(at, expected.size());
  EXPECT_TRUE(memory_->Read({}, [](const uint8_t*, int64_t) { FAIL(); }).ok());
}

// Forks end where they are, whoever uses the stream.
TEST_F(GpuPages, AreDroppedInAnyThread) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    std::vector<Page> pages;
    for (int i = 0; i < 200; ++i) pages.push_back(Page::Allocate(*memory_, 512));
    threads.emplace_back([mine = std::move(pages)]() mutable { mine.clear(); });
  }
  for (int i = 0; i < 200; ++i) EXPECT_TRUE(Page::Allocate(*memory_, 512));
  for (std::thread& thread : threads) thread.join();
  memory_->ReleaseUnused();
  EXPECT_EQ(gpu_->allocated_bytes(), 0);
}

}  // namespace
}  // namespace mla
