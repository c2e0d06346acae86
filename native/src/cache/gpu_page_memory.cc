#include "cache/gpu_page_memory.h"

#include <algorithm>
#include <cassert>
#include <functional>
#include <utility>

#include "tensor/aligned_buffer.h"

namespace mla {
namespace {

constexpr int64_t kAlignment = 256;
constexpr int64_t kFirstPages = 8;
constexpr int64_t kMostSlabBytes = int64_t{16} << 20;
constexpr int64_t kStagingBytes = int64_t{4} << 20;

// Where the run of pages from `begin` on ends that staging memory of so many bytes holds; at least
// one page.
size_t RunEnd(const std::vector<PageMemory::Span>& pages, size_t begin, int64_t staging) {
  size_t end = begin;
  for (int64_t bytes = 0; end < pages.size(); ++end) {
    bytes += pages[end].bytes;
    if (end > begin && bytes > staging) break;
  }
  return end;
}

int64_t StagingBytes(const std::vector<PageMemory::Span>& pages) {
  int64_t all = 0, longest = 0;
  for (const PageMemory::Span& page : pages) {
    all += page.bytes;
    longest = std::max(longest, page.bytes);
  }
  return std::max(longest, std::min(all, kStagingBytes));
}

}  // namespace

GpuPageMemory::GpuPageMemory(std::shared_ptr<GpuStream> stream) : stream_(std::move(stream)) {}

GpuPageMemory::~GpuPageMemory() {
  for (const auto& [begin, slab] : slabs_) {
    assert(slab.used() == 0);
    stream_->Free(slab.begin);
  }
}

// A quarter more of what there is, so that little is held for nothing; less where there is less.
GpuPageMemory::Slab* GpuPageMemory::AddSlab(int64_t page_bytes, Pool& pool) {
  const int64_t most = std::max<int64_t>(1, kMostSlabBytes / page_bytes);
  for (int64_t pages = std::min(most, std::max(kFirstPages, pool.pages / 4)); pages > 0;
       pages /= 2) {
    auto* begin = static_cast<uint8_t*>(stream_->Allocate(pages * page_bytes));
    if (begin == nullptr) continue;
    stream_->Zero(begin, pages * page_bytes);
    pool.pages += pages;
    Slab* slab = &slabs_[begin];
    slab->begin = begin;
    slab->page_bytes = page_bytes;
    slab->pages = pages;
    pool.open.push_back(slab);
    return slab;
  }
  return nullptr;
}

uint8_t* GpuPageMemory::Allocate(int64_t bytes) {
  const int64_t page_bytes =
      (std::max<int64_t>(bytes, 1) + kAlignment - 1) / kAlignment * kAlignment;
  const std::lock_guard lock(mutex_);
  Pool& pool = pools_[page_bytes];
  if (pool.open.empty() && AddSlab(page_bytes, pool) == nullptr) {
    ReleaseUnusedLocked();
    if (AddSlab(page_bytes, pool) == nullptr) return nullptr;
  }
  Slab* slab = pool.open.back();
  uint8_t* page = nullptr;
  if (slab->returned.empty()) {
    page = slab->begin + slab->cut++ * page_bytes;
  } else {
    page = slab->returned.back();
    slab->returned.pop_back();
    stream_->Zero(page, page_bytes);
  }
  if (slab->full()) pool.open.pop_back();
  return page;
}

void GpuPageMemory::Free(uint8_t* memory) {
  const std::lock_guard lock(mutex_);
  Slab& slab = std::prev(slabs_.upper_bound(memory))->second;
  if (slab.full()) pools_[slab.page_bytes].open.push_back(&slab);
  slab.returned.push_back(memory);
}

void GpuPageMemory::ReleaseUnused() {
  const std::lock_guard lock(mutex_);
  ReleaseUnusedLocked();
}

void GpuPageMemory::ReleaseUnusedLocked() {
  for (auto& [bytes, pool] : pools_) {
    std::erase_if(pool.open, [](const Slab* slab) { return slab->used() == 0; });
  }
  std::erase_if(slabs_, [this](const auto& each) {
    const Slab& slab = each.second;
    if (slab.used() > 0) return false;
    pools_[slab.page_bytes].pages -= slab.pages;
    stream_->Free(slab.begin);
    return true;
  });
}

int64_t GpuPageMemory::slab_bytes() const {
  const std::lock_guard lock(mutex_);
  int64_t bytes = 0;
  for (const auto& [begin, slab] : slabs_) bytes += slab.pages * slab.page_bytes;
  return bytes;
}

void GpuPageMemory::Copy(uint8_t* to, const uint8_t* from, int64_t bytes) {
  stream_->Copy(to, from, bytes);
}

void GpuPageMemory::Upload(uint8_t* to, const void* from, int64_t bytes) {
  stream_->Upload(to, from, bytes);
}

Status GpuPageMemory::Read(const std::vector<Span>& pages,
                           const std::function<void(const uint8_t*, int64_t)>& visit) {
  const AlignedBuffer staging(StagingBytes(pages));
  for (size_t begin = 0; begin < pages.size();) {
    const size_t end = RunEnd(pages, begin, staging.size());
    uint8_t* at = staging.data();
    for (size_t i = begin; i < end; at += pages[i++].bytes) {
      stream_->Download(at, pages[i].data, pages[i].bytes);
    }
    if (Status status = stream_->Synchronize(); !status.ok()) return status;
    at = staging.data();
    for (; begin < end; at += pages[begin++].bytes) visit(at, pages[begin].bytes);
  }
  return Status::Ok();
}

Status GpuPageMemory::Fill(const std::vector<Span>& pages,
                           const std::function<void(uint8_t*, int64_t)>& fill) {
  const AlignedBuffer staging(StagingBytes(pages));
  for (size_t begin = 0; begin < pages.size();) {
    const size_t end = RunEnd(pages, begin, staging.size());
    uint8_t* at = staging.data();
    for (; begin < end; at += pages[begin++].bytes) {
      fill(at, pages[begin].bytes);
      stream_->Upload(pages[begin].data, at, pages[begin].bytes);
    }
    if (Status status = stream_->Synchronize(); !status.ok()) return status;
  }
  return Status::Ok();
}

}  // namespace mla
