#include "cache/page_memory.h"

#include <cstdlib>
#include <cstring>

namespace mla {
namespace {

class Host final : public PageMemory {
 public:
  uint8_t* Allocate(int64_t bytes) override {
    const size_t size = static_cast<size_t>((bytes + kAlignment - 1) / kAlignment * kAlignment);
    void* memory = std::aligned_alloc(kAlignment, size);
    if (memory != nullptr) std::memset(memory, 0, size);
    return static_cast<uint8_t*>(memory);
  }
  void Free(uint8_t* memory) override { std::free(memory); }
  void Copy(uint8_t* to, const uint8_t* from, int64_t bytes) override {
    std::memcpy(to, from, static_cast<size_t>(bytes));
  }
  void Upload(uint8_t* to, const void* from, int64_t bytes) override {
    std::memcpy(to, from, static_cast<size_t>(bytes));
  }
  Status Read(const std::vector<Span>& pages,
              const std::function<void(const uint8_t*, int64_t)>& visit) override {
    for (const Span& page : pages) visit(page.data, page.bytes);
    return Status::Ok();
  }
  Status Fill(const std::vector<Span>& pages,
              const std::function<void(uint8_t*, int64_t)>& fill) override {
    for (const Span& page : pages) fill(page.data, page.bytes);
    return Status::Ok();
  }

 private:
  static constexpr int64_t kAlignment = 64;
};

}  // namespace

std::shared_ptr<PageMemory> HostMemory() {
  static const auto memory = std::make_shared<Host>();
  return memory;
}

}  // namespace mla
