// Which tiles a sequence has and which of them a split: of packed rows, then of those that are
// floats, which are all where nothing is packed, and else the first tokens and the newest ones.
#ifndef MLA_KERNELS_ATTENTION_GPU_LATENT_WORK_H_
#define MLA_KERNELS_ATTENTION_GPU_LATENT_WORK_H_

#include <cstdint>

#include "cuda/simt.h"
#include "kernels/attention/gpu_latent.h"
#include "kernels/attention/gpu_latent_rows.h"
#include "kernels/attention/gpu_work.h"

namespace mla::MLA_GPU {

struct LatentArgs {
  AttendArgs attend;
  GpuLatentSizes latent;
  int32_t splits_a_block;  // at most
};

// After queries are prepared.
void LaunchLatent(GpuStream& stream, const AttendArgs& attend);

// The kernel of rows of this type (cuda_latent_<type>.cu).
template <CacheType kType>
void LaunchLatentOf(GpuStream& stream, const LatentArgs& args, const Grid& grid);

// The tiles of every form that a sequence's queries, the first at `position`, ask for.
struct SequenceTiles {
  int sequence, position;
  int first_tile[kRowForms], tiles[kRowForms];
};

struct LatentWork : SequenceTiles {
  int row_splits, tiles_a_split;
  int splits;  // with those of the window behind the others
};

// What a sequence's queries, the first at `position`, ask for of a form.
MLA_DEVICE Tokens AskedFor(const AttendArgs& a, int position, int form) {
  return {Seen(a, form, position).begin, Seen(a, form, position + a.sizes.queries - 1).end};
}

MLA_DEVICE SequenceTiles FindTiles(const AttendArgs& a, int sequence, int position) {
  SequenceTiles found = {sequence, position, {}, {}};
  MLA_UNROLL
  for (int form = 0; form < kRowForms; ++form) {
    const bool there =
        form == kRowsForm || (form == kExactForm ? a.sizes.residual : a.sizes.sink) > 0;
    const Tokens asked = AskedFor(a, position, form);
    if (there && asked.begin < asked.end) {
      found.first_tile[form] = asked.begin / kPageTokens;
      found.tiles[form] = (asked.end - 1) / kPageTokens - found.first_tile[form] + 1;
    }
  }
  return found;
}

MLA_DEVICE LatentWork PlanLatentWork(const AttendArgs& a, int sequence, int position) {
  LatentWork work = {FindTiles(a, sequence, position), 0, 1, 0};
  if (work.tiles[kRowsForm] > 0) {
    const int window = a.call.window > 0 ? position - a.call.window + 1 : 0;
    const int wanted = a.filling_splits > 0
                           ? SplitsToFill(work.tiles[kRowsForm], a.filling_splits)
                           : a.sizes.Splits(position + a.sizes.queries - (window > 0 ? window : 0));
    work.tiles_a_split = (work.tiles[kRowsForm] + wanted - 1) / wanted;
    work.row_splits = (work.tiles[kRowsForm] + work.tiles_a_split - 1) / work.tiles_a_split;
  }
  const int floats = work.tiles[kFirstForm] + work.tiles[kExactForm];
  work.splits = work.row_splits + (floats + kFloatTiles - 1) / kFloatTiles;
  return work;
}

// Tile `index` of the cache's rows, of which these are asked for; without its page.
MLA_DEVICE LatentTile RowsTile(const SequenceTiles& work, const Tokens& asked, int index) {
  return LatentTile(kRowsForm, work.first_tile[kRowsForm] + index, asked);
}
// The same of the window's.
MLA_DEVICE LatentTile WindowTile(const AttendArgs& a, const SequenceTiles& work, int index) {
  const bool first = index < work.tiles[kFirstForm];
  const int form = first ? kFirstForm : kExactForm;
  // With no index that registers have not.
  const int begin =
      first ? work.first_tile[kFirstForm] : work.first_tile[kExactForm] - work.tiles[kFirstForm];
  return LatentTile(form, begin + index, AskedFor(a, work.position, form));
}

MLA_DEVICE const uint8_t* PageOf(const AttendArgs& a, uint8_t* const* pages,
                                 const LatentTile& tile) {
  const PageTablePlaces& places = a.call.places;
  const int page = tile.first / kPageTokens;
  return pages[tile.form == kRowsForm    ? places.Rows(a.call.layer, page)
               : tile.form == kFirstForm ? places.First(a.call.layer)
                                         : places.Exact(a.call.layer, page)];
}

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_ATTENTION_GPU_LATENT_WORK_H_
