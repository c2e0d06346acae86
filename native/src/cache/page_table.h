// Where the GPU's kernels find a sequence's pages: pointers to the pages of all layers in one
// array, so that what a step adds is one upload.
#ifndef MLA_CACHE_PAGE_TABLE_H_
#define MLA_CACHE_PAGE_TABLE_H_

#include <cstdint>
#include <vector>

#include "cache/page.h"
#include "tensor/status.h"

namespace mla {

// Indices into the array: [1 + pages][columns] pointers. Line 0 has the layers' pages of first
// tokens; line 1 + p has page p of every layer's rows and then, where there is a window, of its
// exact rows. A layer's pages are thus `columns` apart from one to the next. Entries of pages that
// are not there are of no meaning.
struct PageTablePlaces {
  int32_t layers;
  int32_t columns;  // layers, or twice that

  constexpr int64_t First(int32_t layer) const { return layer; }
  constexpr int64_t Rows(int32_t layer, int32_t page) const {
    return (int64_t{page} + 1) * columns + layer;
  }
  constexpr int64_t Exact(int32_t layer, int32_t page) const { return Rows(layer, page) + layers; }
};

// The array of one cache and the host's copy of it.
class PageTable {
 public:
  explicit PageTable(int64_t entries) : entries_(static_cast<size_t>(entries)) {}

  // In the host's copy, [entries].
  uint8_t*& operator[](int64_t entry) { return entries_[static_cast<size_t>(entry)]; }
  // Entries [begin, end) to the other one, which is made with the first of them: MLA_OUT_OF_MEMORY.
  Status Upload(PageMemory& memory, int64_t begin, int64_t end);
  // Null before the first upload, and the same ever after.
  uint8_t* const* data() const { return reinterpret_cast<uint8_t* const*>(memory_.get()); }

 private:
  std::vector<uint8_t*> entries_;
  Page memory_;
};

}  // namespace mla
#endif  // MLA_CACHE_PAGE_TABLE_H_
