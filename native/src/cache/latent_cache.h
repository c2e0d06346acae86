// The cache of one session: for every layer rotary keys, latents and key scalars of all tokens, in
// pages; where types are quantized, the newest and the first tokens besides in f16. Pages are the
// host's, written by Write, or a GPU's, written by its kernels; their bytes are the same.
#ifndef MLA_CACHE_LATENT_CACHE_H_
#define MLA_CACHE_LATENT_CACHE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "cache/cache_view.h"
#include "cache/group_packer.h"
#include "cache/layout.h"
#include "cache/page_memory.h"
#include "cache/page_table.h"
#include "tensor/status.h"

namespace mla {

class LatentCache {
 public:
  // Errors: an option that this build does not support, or that does not fit the layouts.
  static Result<std::unique_ptr<LatentCache>> Create(const CacheOptions& options,
                                                     std::vector<LayerLayout> layers,
                                                     int32_t context_length,
                                                     std::shared_ptr<PageMemory> = HostMemory());
  ~LatentCache();

  // Bytes a token in a context of so many tokens: packed rows, scales, padding, scalars, all
  // layers, and each token's share of the window and the sink. context_length 0: of ever more
  // tokens, which leave nothing of that share.
  static double BytesPerToken(const CacheOptions& options, const std::vector<LayerLayout>& layers,
                              int32_t context_length);

  int32_t length() const;  // tokens committed
  // Makes room for positions [length, length + n). MLA_CONTEXT_FULL (beyond context_length) and
  // MLA_OUT_OF_MEMORY leave the cache as it was.
  Status Reserve(int32_t n);
  // Makes room in the window for the next `rows` of the positions reserved, before they are
  // written: those after the last SetLength and all Advance since. MLA_OUT_OF_MEMORY leaves it as
  // it was.
  Status ReserveWindow(int32_t rows);
  // Of pages in the host's memory. Stores positions [first, first + n) of a layer, quantizing: rope
  // [n][G*R] rotated keys, latent [n][C], scalars [n][kv_heads] (null unless key_scalar), each with
  // its row stride in floats. Packed rows of single tokens may be written, and read from their
  // floats, as late as when the packer goes. Threads may write disjoint positions.
  void Write(int32_t layer, int32_t first, int32_t n, const float* rope, int64_t rope_stride,
             const float* latent, int64_t latent_stride, const float* scalars,
             int64_t scalars_stride, GroupPacker& packer);
  // Positions below `length` are written in all layers, but not committed: SetLength(length())
  // forgets them again. What neither needs of the window any more is given back.
  void Advance(int32_t length);
  // Positions below `length` are now the sequence: after all layers were written (grows), or to
  // forget (shrinks, which gives pages that hold no position below `length` back).
  void SetLength(int32_t length);
  // Whether the window's rows are there that a query at position `length` <= length() reads. They
  // are not after forgetting more than was in the window beyond its need.
  bool HasWindowOf(int32_t length) const;
  // A cache of the same tokens that goes on by itself. Pages are shared until one of both writes to
  // them, which each may do while the other is read. Throws std::bad_alloc.
  std::unique_ptr<LatentCache> Fork() const;
  // Of a new cache: makes it hold `length` tokens of zeros, whose pages FillPages then fills.
  // Errors as Reserve; the cache is of no use then.
  Status Restore(int32_t length);
  // All pages that are there, in an order that follows from options, layouts and length alone: what
  // one cache was read of fills another, wherever their pages are. A page is in the host's memory
  // while it is visited. Errors: a GPU's.
  Status ReadPages(const std::function<void(const uint8_t* page, int64_t bytes)>& visit) const;
  // Of a cache that was just restored.
  Status FillPages(const std::function<void(uint8_t* page, int64_t bytes)>& fill);
  // Read access to one layer for the attention kernels; valid while the cache lives, for positions
  // that were written and not forgotten.
  CacheView View(int32_t layer) const;

  // For kernels that find pages in the memory of the pages. Brings the table up to date, in one
  // upload or none: after ReserveWindow, before the kernels. A fork, and what follows a SetLength
  // that forgets, may change entries that an earlier upload still reads: the GPU's stream was
  // synchronized before. MLA_OUT_OF_MEMORY leaves the cache as it was.
  Status UpdatePageTable();
  // Null before the first update, then the same while the cache lives.
  uint8_t* const* page_table() const;
  PageTablePlaces page_table_places() const;

  int64_t bytes() const;  // allocated now, pages shared with forks included

 private:
  struct State;
  explicit LatentCache(std::unique_ptr<State> state);
  std::vector<PageMemory::Span> Spans() const;

  std::unique_ptr<State> state_;
  std::unique_ptr<PageTable> table_;  // null before the first update
};

}  // namespace mla
#endif  // MLA_CACHE_LATENT_CACHE_H_
