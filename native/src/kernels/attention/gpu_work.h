// Which tokens a launch reads in which form, and which of them a split has.
#ifndef MLA_KERNELS_ATTENTION_GPU_WORK_H_
#define MLA_KERNELS_ATTENTION_GPU_WORK_H_

#include <cstdint>

#include "cache/row_format.h"
#include "cuda/simt.h"
#include "kernels/attention/gpu.h"
#include "kernels/attention/gpu_seen.h"
#include "kernels/attention/gpu_tables.h"
#include "kernels/attention/gpu_tile.h"

namespace mla::MLA_GPU {

struct AttendArgs {
  GpuAttention call;
  GpuAttentionSizes sizes;
  int32_t splits;  // most of a sequence
  // Where splits of the cache's rows fill the processors, at most so many of a sequence; else 0: as
  // many as its length says.
  int32_t filling_splits;
  int64_t query_begin;  // of prepared queries in the workspace, which begins with splits' results
};

using Tokens = GpuTokens;

// What the query at `position` reads from rows of a form.
MLA_DEVICE Tokens Seen(const AttendArgs& a, int form, int position) {
  return GpuSight{a.call.window, a.sizes.residual, a.sizes.sink}.Of(form, position);
}

// A sequence's tiles: of its first tokens, of its packed rows, of its newest ones, cut into splits.
struct Work {
  int sequence, position;
  int splits, tiles_a_split;
  int first_tile[kRowForms], tiles[kRowForms];
  int total;
};
static_assert(sizeof(Work) <= kWorkBytes);

MLA_DEVICE Work PlanWork(const AttendArgs& a, const GpuTask& task, int sequence, int position) {
  Work work = {sequence, position, 0, 0, {}, {}, 0};
  const int last = position + a.sizes.queries - 1;
  MLA_UNROLL
  for (int form = 0; form < kRowForms; ++form) {
    const int begin = Seen(a, form, position).begin, end = Seen(a, form, last).end;
    const int shift = task.forms[form].shift;
    if (begin < end && task.forms[form].pieces > 0) {
      work.first_tile[form] = begin >> shift;
      work.tiles[form] = ((end - 1) >> shift) - (begin >> shift) + 1;
      work.total += work.tiles[form];
    }
  }
  const int window = a.call.window > 0 ? position - a.call.window + 1 : 0;
  const int wanted = a.sizes.Splits(last + 1 - (window > 0 ? window : 0));
  work.tiles_a_split = (work.total + wanted - 1) / wanted;
  work.splits = (work.total + work.tiles_a_split - 1) / work.tiles_a_split;
  return work;
}

MLA_DEVICE Tile TileAt(const AttendArgs& a, const GpuTask& task, const Work& work, int index) {
  // In this order, and with no index that registers have not.
  constexpr int kOrder[] = {kFirstForm, kRowsForm, kExactForm};
  int form = -1, first = 0;
  MLA_UNROLL
  for (int i = 0; i < kRowForms; ++i) {
    const int tiles = work.tiles[kOrder[i]];
    if (form < 0 && index < tiles) {
      form = kOrder[i];
      first = work.first_tile[kOrder[i]] + index;
    }
    index -= tiles;
  }
  const int tokens = task.forms[form].tokens;
  const int begin = Seen(a, form, work.position).begin;
  const int end = Seen(a, form, work.position + a.sizes.queries - 1).end;
  Tile tile = {};
  tile.form = form;
  tile.first = first * tokens;
  tile.begin = begin > tile.first ? begin - tile.first : 0;
  tile.end = end < tile.first + tokens ? end - tile.first : tokens;
  uint8_t* const* const pages = a.call.pages[work.sequence];
  const PageTablePlaces& places = a.call.places;
  const int page = tile.first / kPageTokens;
  tile.scalars = pages[places.Rows(a.call.layer, page)];
  tile.page = form == kFirstForm   ? pages[places.First(a.call.layer)]
              : form == kExactForm ? pages[places.Exact(a.call.layer, page)]
                                   : tile.scalars;
  return tile;
}

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_ATTENTION_GPU_WORK_H_
