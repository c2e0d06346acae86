#include "cache/page_table.h"

#include <string>

namespace mla {

Status PageTable::Upload(PageMemory& memory, int64_t begin, int64_t end) {
  constexpr int64_t kEntry = sizeof(uint8_t*);
  if (!memory_) {
    const int64_t bytes = static_cast<int64_t>(entries_.size()) * kEntry;
    memory_ = Page::Allocate(memory, bytes);
    if (!memory_) {
      return {MLA_OUT_OF_MEMORY,
              "no memory for a cache's page table of " + std::to_string(bytes) + " bytes"};
    }
  }
  memory.Upload(memory_.get() + begin * kEntry, entries_.data() + begin, (end - begin) * kEntry);
  return Status::Ok();
}

}  // namespace mla
